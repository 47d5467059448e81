//! The flow series: one row of numbers per label set, with a budget and an expiry.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use metrics::Counter;
use weir_point::{Point, PointBatch};

use crate::{
    aggregate::{Buckets, Labels, Row, push_label},
    fanout::{Cause, Ledger, Output},
    page::{self, Format, Head, Number, Origin, Page},
    profile::{
        DataSet, Gauge, Group, Histogram, Profile,
        naming::{self, Kind},
    },
    self_metrics::{LABEL_SETS, LABEL_SETS_EXPIRED, POINTS_FOLDED, SelfMetrics, VALUES_LEFT},
};

/// All flow series. Points are taken in by whoever offers them rather than by a task
/// behind a queue: adding is cheaper than queueing, nothing can be lost on the way, and
/// an agent's ack then means that its numbers are in.
#[derive(Debug)]
pub struct FlowSeries {
    sets: Vec<Set>,
    families: Vec<Family>,
    budget: AtomicUsize,
    idle_expiry: Mutex<Duration>,
    ledger: Ledger,
}

#[derive(Debug)]
struct Set {
    data_set: &'static DataSet,
    groups: Vec<GroupSeries>,
}

#[derive(Debug)]
struct GroupSeries {
    group: &'static Group,
    labels: Labels,
    rows: Mutex<Rows>,
    held: metrics::Gauge,
    expired: Counter,
    folded: Counter,
    gauges_left: Counter,
}

#[derive(Debug, Default)]
struct Rows {
    rows: HashMap<Box<str>, Tracked>,
    /// What came past the budget. Never expires, so that totals stay whole.
    other: Option<Row>,
}

#[derive(Debug)]
struct Tracked {
    row: Row,
    touched: Instant,
}

/// One metric: a `# TYPE` line and its series.
#[derive(Debug)]
struct Family {
    set: usize,
    group: usize,
    name: String,
    kind: Kind,
    help: &'static str,
    unit: String,
    members: Vec<Member>,
}

/// The series of a metric that come from one field.
#[derive(Debug)]
struct Member {
    /// The place of the field in the group.
    index: usize,
    /// The label that tells it from other fields, rendered.
    label: String,
}

impl FlowSeries {
    /// No series yet, and room for `budget` label sets per metric; a label set without
    /// a Point for `idle_expiry` goes.
    pub fn new(
        profile: &Profile,
        budget: usize,
        idle_expiry: Duration,
        metrics: &SelfMetrics,
    ) -> Self {
        let sets: Vec<Set> = profile
            .data_sets
            .iter()
            .map(|data_set| Set {
                data_set,
                groups: data_set
                    .groups
                    .iter()
                    .map(|group| GroupSeries::new(data_set, group, metrics))
                    .collect(),
            })
            .collect();
        let mut families = Vec::new();
        for (set, Set { groups, .. }) in sets.iter().enumerate() {
            for (group, series) in groups.iter().enumerate() {
                families.extend(families_of(series.group, set, group));
            }
        }
        Self {
            sets,
            families,
            budget: AtomicUsize::new(budget.max(1)),
            idle_expiry: Mutex::new(idle_expiry),
            ledger: Ledger::new(metrics, "prometheus"),
        }
    }

    /// From now on within these limits. Label sets past the new budget stay until they expire.
    pub fn limit(&self, budget: usize, idle_expiry: Duration) {
        self.budget.store(budget.max(1), Ordering::Release);
        *self.expiry() = idle_expiry;
    }

    fn expiry(&self) -> MutexGuard<'_, Duration> {
        self.idle_expiry
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How many metrics there are.
    pub fn families(&self) -> usize {
        self.families.len()
    }

    /// The metric `family` with all its series; `None` past the last one.
    pub fn render(&self, family: usize, format: Format) -> Option<Vec<u8>> {
        let mut page = Page::new(format);
        self.render_into(family, &mut page)?;
        Some(page.finish())
    }

    /// Write the metric `family` to `page`, nothing if it has no series. Gives back its name and whether
    /// there was anything to write; `None` past the last one.
    pub fn render_into(&self, family: usize, page: &mut Page) -> Option<(&str, bool)> {
        let family = self.families.get(family)?;
        let series = &self.sets[family.set].groups[family.group];
        let rows = series.lock();
        if let Some((sample, _)) = rows.rows.iter().next() {
            page.reserve(
                (sample.len() + family.name.len() + 40) * rows.rows.len() * family.members.len(),
            );
        } else if rows.other.is_none() {
            return Some((&family.name, false));
        }
        family.header(page);
        for (labels, tracked) in &rows.rows {
            family.samples(series.group, labels, &tracked.row, page);
        }
        if let Some(other) = &rows.other {
            family.samples(series.group, &series.labels.other(), other, page);
        }
        Some((&family.name, true))
    }

    /// Remove label sets that were idle for too long; returns how many.
    pub fn sweep(&self) -> usize {
        let groups = self.sets.iter().flat_map(|set| &set.groups);
        let idle_expiry = *self.expiry();
        groups.map(|series| series.sweep(idle_expiry)).sum()
    }

    fn take(&self, batch: &PointBatch) {
        self.ledger.offered(batch.len());
        let budget = self.budget.load(Ordering::Acquire);
        let mut unknown = 0;
        let mut labels = String::new();
        for points in batch.points().chunk_by(|a, b| a.name == b.name) {
            let set = self
                .sets
                .iter()
                .find(|set| set.data_set.point == points[0].name);
            let Some(set) = set else {
                unknown += points.len();
                continue;
            };
            for series in &set.groups {
                series.add(points, budget, &mut labels);
            }
        }
        self.ledger.dropped(Cause::NotInProfile, unknown);
        self.ledger.delivered(batch.len() - unknown);
    }
}

impl Output for FlowSeries {
    fn offer(&self, batch: &Arc<PointBatch>) {
        self.take(batch);
    }

    fn close(&self) {}
}

impl GroupSeries {
    fn new(data_set: &'static DataSet, group: &'static Group, metrics: &SelfMetrics) -> Self {
        let name = [group.name];
        Self {
            group,
            labels: Labels::new(data_set, group),
            rows: Mutex::default(),
            held: metrics.gauge(&LABEL_SETS, &name),
            expired: metrics.counter(&LABEL_SETS_EXPIRED, &name),
            folded: metrics.counter(&POINTS_FOLDED, &name),
            gauges_left: metrics.counter(&VALUES_LEFT, &name),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Add the numbers of `points`; `labels` is scratch space.
    fn add(&self, points: &[Point], budget: usize, labels: &mut String) {
        let now = Instant::now();
        let mut held = self.lock();
        let Rows { rows, other } = &mut *held;
        let before = rows.len();
        for point in points {
            if !self.group.takes(point) {
                continue;
            }
            labels.clear();
            self.labels.write(point, labels);
            if let Some(tracked) = rows.get_mut(labels.as_str()) {
                tracked.touched = now;
                tracked.row.add(self.group, point);
            } else if rows.len() < budget {
                let mut row = Row::new(self.group);
                row.add(self.group, point);
                rows.insert(labels.as_str().into(), Tracked { row, touched: now });
            } else {
                let other = other.get_or_insert_with(|| Row::new(self.group));
                let left = other.add_counts_only(self.group, point);
                self.folded.increment(1);
                self.gauges_left.increment(left);
            }
        }
        if rows.len() != before {
            self.show_held(rows.len());
        }
    }

    fn sweep(&self, idle_expiry: Duration) -> usize {
        let mut held = self.lock();
        let before = held.rows.len();
        held.rows
            .retain(|_, tracked| tracked.touched.elapsed() <= idle_expiry);
        let left = held.rows.len();
        if left < held.rows.capacity() / 4 {
            held.rows.shrink_to(left * 2);
        }
        self.show_held(left);
        self.expired.increment((before - left) as u64);
        before - left
    }

    fn show_held(&self, label_sets: usize) {
        self.held.set(u32::try_from(label_sets).unwrap_or(u32::MAX));
    }
}

/// The metrics of a group: one per gauge and histogram, and one per run of counters of one name.
fn families_of(group: &'static Group, set: usize, place: usize) -> Vec<Family> {
    let family = |name: &str, unit: &str, kind: Kind, help: &'static str| Family {
        set,
        group: place,
        name: naming::metric(name, unit, kind),
        kind,
        help,
        unit: naming::unit(unit, kind == Kind::Gauge),
        members: Vec::new(),
    };
    let mut families: Vec<Family> = Vec::new();
    for (index, counter) in group.counters.iter().enumerate() {
        if index == 0 || group.counters[index - 1].name != counter.name {
            families.push(family(
                counter.name,
                counter.unit,
                Kind::Counter,
                counter.help,
            ));
        }
        let mut label = String::new();
        if let Some((name, value)) = counter.attribute {
            push_label(&naming::label(name), value, &mut label);
        }
        if let Some(family) = families.last_mut() {
            family.members.push(Member { index, label });
        }
    }
    let single = |name, unit, kind, help, index| Family {
        members: vec![Member {
            index,
            label: String::new(),
        }],
        ..family(name, unit, kind, help)
    };
    for (index, gauge) in group.gauges.iter().enumerate() {
        let Gauge {
            name, unit, help, ..
        } = gauge;
        families.push(single(name, unit, Kind::Gauge, help, index));
    }
    for (index, histogram) in group.histograms.iter().enumerate() {
        let Histogram {
            name, unit, help, ..
        } = histogram;
        families.push(single(name, unit, Kind::Histogram, help, index));
    }
    families
}

impl Family {
    fn header(&self, page: &mut Page) {
        page.family(&Head {
            name: &self.name,
            kind: match self.kind {
                Kind::Counter => page::Kind::Counter,
                Kind::Gauge => page::Kind::Gauge,
                Kind::Histogram => page::Kind::Histogram,
            },
            help: self.help,
            unit: &self.unit,
            crowded: false,
        });
    }

    fn samples(&self, group: &Group, labels: &str, row: &Row, page: &mut Page) {
        for Member { index, label } in &self.members {
            let labels = page::Labels(labels, label);
            let number = match self.kind {
                Kind::Counter => row.count(*index).map(Number::Count),
                Kind::Gauge => row.gauge(*index, &group.gauges[*index]).map(Number::Float),
                Kind::Histogram => {
                    if let Some(values) = row.histogram(*index) {
                        histogram(&group.histograms[*index], labels, values, page);
                    }
                    None
                }
            };
            if let Some(number) = number {
                page.number(labels, number, Origin::default());
            }
        }
    }
}

fn histogram(kind: &Histogram, labels: page::Labels<'_>, values: &Buckets, page: &mut Page) {
    let mut buckets = Vec::with_capacity(kind.bounds.len());
    values.cumulate(kind, &mut buckets);
    let shown = page::Histogram {
        count: values.count(),
        sum: Some(kind.scaled(values.sum())),
        buckets: &buckets,
        native: None,
    };
    page.histogram(labels, &shown, Origin::default());
}
