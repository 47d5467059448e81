//! The flow series: one row of numbers per label set, with budgets and an expiry.

mod rows;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use metrics::Counter;
use weir_point::{Point, PointBatch};

use self::rows::{Place, Rows};
use crate::{
    aggregate::{Buckets, Labels, Row, push_label},
    budget::{Budget, Label, LabelValues},
    fanout::{Cause, Ledger, Output},
    page::{self, Format, Head, Number, Origin, Page},
    profile::{
        DataSet, Gauge, Group, Histogram, Profile,
        naming::{self, Kind},
    },
    self_metrics::{
        LABEL_SETS, LABEL_SETS_EXPIRED, LABEL_VALUES, LABEL_VALUES_FOLDED, POINTS_FOLDED,
        SelfMetrics, VALUES_LEFT,
    },
};

/// All flow series. Points are taken in by whoever offers them rather than by a task
/// behind a queue: adding is cheaper than queueing, nothing can be lost on the way, and
/// an agent's ack then means that its numbers are in.
#[derive(Debug)]
pub struct FlowSeries {
    sets: Vec<Set>,
    families: Vec<Family>,
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
    /// No series yet, and room for `budget` per metric; a label set without a Point for
    /// `idle_expiry` goes.
    pub fn new(
        profile: &Profile,
        budget: &Budget,
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
                    .map(|group| GroupSeries::new(data_set, group, budget, metrics))
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
            idle_expiry: Mutex::new(idle_expiry),
            ledger: Ledger::new(metrics, "prometheus"),
        }
    }

    /// From now on within these limits. What is held past a smaller budget stays until it expires.
    pub fn limit(&self, budget: &Budget, idle_expiry: Duration) {
        for series in self.sets.iter().flat_map(|set| &set.groups) {
            series.lock().limit(budget);
        }
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
                series.add(points, &mut labels);
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
    fn new(
        data_set: &'static DataSet,
        group: &'static Group,
        budget: &Budget,
        metrics: &SelfMetrics,
    ) -> Self {
        let name = [group.name];
        let labels = Labels::new(data_set, group);
        let label = |(tag, name): (&'static str, &str)| Label {
            tag,
            name: name.to_owned(),
            shown: metrics.gauge(&LABEL_VALUES, &[group.name, tag]),
            folded: metrics.counter(&LABEL_VALUES_FOLDED, &[group.name, tag]),
        };
        let values = LabelValues::new(group.name, labels.tags().map(label), &budget.values);
        Self {
            group,
            rows: Mutex::new(Rows::new(budget.series, values)),
            labels,
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
    fn add(&self, points: &[Point], labels: &mut String) {
        let now = Instant::now();
        let mut held = self.lock();
        let before = held.rows.len();
        for point in points {
            if !self.group.takes(point) {
                continue;
            }
            labels.clear();
            self.labels.write(point, labels);
            if let Some(tracked) = held.rows.get_mut(labels.as_str()) {
                tracked.touched = now;
                tracked.row.add(self.group, point);
                continue;
            }
            match held.place(labels, self.group, now) {
                Place::Own(row) => row.add(self.group, point),
                Place::Mixed(row) => {
                    let left = row.add_counts_only(self.group, point);
                    self.gauges_left.increment(left);
                }
                Place::Rest(row) => {
                    let left = row.add_counts_only(self.group, point);
                    self.gauges_left.increment(left);
                    self.folded.increment(1);
                }
            }
        }
        let after = held.rows.len();
        if after != before {
            self.show_held(after);
        }
    }

    fn sweep(&self, idle_expiry: Duration) -> usize {
        let mut held = self.lock();
        let expired = held.sweep(idle_expiry);
        self.show_held(held.rows.len());
        self.expired.increment(expired as u64);
        expired
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
