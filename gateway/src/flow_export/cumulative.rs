//! Sums since the first Point of each series, for endpoints that do not take deltas.

use std::{
    mem,
    time::{Duration, Instant},
};

use hashbrown::{HashMap, hash_map::EntryRef};
use metrics::{Counter, Gauge};
use tracing::warn;

use super::window::{Entry, Kind, Origin, kinds};
use crate::{
    aggregate::{Row, Totals},
    budget::{Budget, Folded, Label, LabelValues, Notice},
    profile::Profile,
    self_metrics::{
        EXPORTER_FLOW_EXPIRED, EXPORTER_FLOW_FOLDED, EXPORTER_FLOW_LABEL_SETS,
        EXPORTER_FLOW_LABEL_VALUES, EXPORTER_FLOW_LABEL_VALUES_FOLDED, EXPORTER_FLOW_VALUES_LEFT,
        SelfMetrics,
    },
};

/// The series of every group.
pub(super) struct Cumulative {
    groups: Vec<Series>,
    budget: usize,
    idle_expiry: Duration,
}

struct Series {
    kind: Kind,
    held: HashMap<Box<str>, Sum>,
    /// What came past the budget. Never expires, so that totals stay whole.
    other: Option<Sum>,
    full: Notice,
    values: LabelValues,
    /// Scratch space.
    folded_key: String,
    shown: Gauge,
    expired: Counter,
    folded: Counter,
    gauges_left: Counter,
}

/// The entries of one round for series that mix label sets: one data point for each.
#[derive(Default)]
struct Mixed {
    /// With `~other` in place of some values.
    some: HashMap<Box<str>, Entry>,
    /// With nothing but `~other`.
    other: Option<Entry>,
}

struct Sum {
    totals: Totals,
    start: u64,
    /// Of the latest data point.
    time: u64,
    touched: Instant,
}

impl Cumulative {
    /// No series yet, and room for `budget` per group; one without a Point for `idle_expiry` goes.
    pub(super) fn new(
        profile: &'static Profile,
        budget: &Budget,
        idle_expiry: Duration,
        (exporter, metrics): (&str, &SelfMetrics),
    ) -> Self {
        let groups = kinds(profile).into_iter().map(|kind| {
            let group = kind.group.name;
            let labels = [exporter, group];
            let label = |(tag, name): (&'static str, &str)| {
                let labels = [exporter, group, tag];
                Label {
                    tag,
                    name: name.to_owned(),
                    shown: metrics.gauge(&EXPORTER_FLOW_LABEL_VALUES, &labels),
                    folded: metrics.counter(&EXPORTER_FLOW_LABEL_VALUES_FOLDED, &labels),
                }
            };
            Series {
                held: HashMap::new(),
                other: None,
                full: Notice::default(),
                values: LabelValues::new(group, kind.labels.tags().map(label), &budget.values),
                folded_key: String::new(),
                shown: metrics.gauge(&EXPORTER_FLOW_LABEL_SETS, &labels),
                expired: metrics.counter(&EXPORTER_FLOW_EXPIRED, &labels),
                folded: metrics.counter(&EXPORTER_FLOW_FOLDED, &labels),
                gauges_left: metrics.counter(&EXPORTER_FLOW_VALUES_LEFT, &labels),
                kind,
            }
        });
        Self {
            groups: groups.collect(),
            budget: budget.series,
            idle_expiry,
        }
    }

    /// `entries` with the sums so far in place of what they add to them. What is past the budget
    /// becomes one entry per series that mixes label sets.
    pub(super) fn add(&mut self, mut entries: Vec<Entry>) -> Vec<Entry> {
        entries.sort_by_key(|entry| entry.time);
        let mut key = String::new();
        let mut mixed: Vec<Mixed> = self.groups.iter().map(|_| Mixed::default()).collect();
        entries.retain_mut(|entry| {
            let series = &mut self.groups[entry.kind];
            key.clear();
            if let Some(point) = entry.point() {
                series.kind.labels.write(point, &mut key);
            }
            series.add(&key, self.budget, entry, &mut mixed[entry.kind])
        });
        for (series, mixed) in self.groups.iter_mut().zip(mixed) {
            entries.extend(series.show(mixed));
            series.show_held();
        }
        entries
    }

    /// Remove series that were idle for too long.
    pub(super) fn sweep(&mut self) {
        for series in &mut self.groups {
            let before = series.held.len();
            let Series { held, values, .. } = series;
            held.retain(|key, sum| {
                let is_live = sum.touched.elapsed() <= self.idle_expiry;
                if !is_live {
                    values.release(key);
                }
                is_live
            });
            let left = series.held.len();
            if left < series.held.capacity() / 4 {
                series.held.shrink_to(left * 2);
            }
            series.expired.increment((before - left) as u64);
            series.show_held();
        }
    }
}

impl Series {
    /// Add `entry` to its series. Whether it is one of its own, which `entry` now shows; else it is
    /// shown by one of `mixed`.
    fn add(&mut self, key: &str, budget: usize, entry: &mut Entry, mixed: &mut Mixed) -> bool {
        if let Some(sum) = self.held.get_mut(key) {
            sum.add(entry);
            sum.show_in(entry);
            return true;
        }
        let folded = self.values.fold(key, &mut self.folded_key);
        let key = self.folded_key.as_str();
        if !self.held.contains_key(key) {
            if self.held.len() >= budget {
                self.fold(budget, entry, &mut mixed.other);
                return false;
            }
            self.values.hold(key);
            self.held.insert(key.into(), Sum::starting_with(entry));
        }
        let Some(sum) = self.held.get_mut(key) else {
            return true;
        };
        sum.add(entry);
        if folded.is_none() {
            sum.show_in(entry);
            return true;
        }
        self.gauges_left.increment(entry.row.gauges());
        let shown = mixed.some.entry_ref(key);
        let shown = match shown {
            EntryRef::Occupied(shown) => shown.into_mut(),
            EntryRef::Vacant(place) => place.insert_with_key(key.into(), entry.as_mixed(folded)),
        };
        shown.merge(entry);
        false
    }

    /// Add `entry` to the series for what is past the budget, which is shown by `shown`.
    fn fold(&mut self, budget: usize, entry: &mut Entry, shown: &mut Option<Entry>) {
        self.folded.increment(entry.merged as u64);
        if self.full.is_due() {
            let group = self.kind.group.name;
            warn!(
                group,
                budget, "the budget of cumulative sums is used up: new ones become ~other"
            );
        }
        // Gauges mean nothing on a series that mixes label sets.
        self.gauges_left.increment(entry.row.gauges());
        self.other
            .get_or_insert_with(|| Sum::starting_with(entry))
            .add(entry);
        let shown = shown.get_or_insert_with(|| Entry {
            origin: Origin::Other,
            ..entry.as_mixed(Folded::default())
        });
        shown.merge(entry);
    }

    /// The entries of `mixed` with their sums.
    fn show(&mut self, mixed: Mixed) -> Vec<Entry> {
        let Mixed { some, mut other } = mixed;
        if let (Some(sum), Some(entry)) = (&mut self.other, &mut other) {
            sum.show_in(entry);
        }
        let some = some.into_iter().map(|(key, mut entry)| {
            if let Some(sum) = self.held.get_mut(&key) {
                sum.show_in(&mut entry);
            }
            entry
        });
        some.chain(other).collect()
    }

    fn show_held(&self) {
        self.shown
            .set(u32::try_from(self.held.len()).unwrap_or(u32::MAX));
    }
}

impl Entry {
    /// One for the series with these tags folded, without numbers; takes over where this one has its tags from.
    fn as_mixed(&mut self, folded: Folded) -> Self {
        Self {
            kind: self.kind,
            set: self.set,
            group: self.group,
            row: Row::new(self.group),
            time: self.time,
            start: 0,
            points: 0,
            merged: 0,
            origin: mem::replace(&mut self.origin, Origin::Other),
            folded,
        }
    }

    /// Show `other` as well.
    fn merge(&mut self, other: &Self) {
        self.points += other.points;
        self.merged += other.merged;
        self.time = self.time.max(other.time);
    }
}

impl Sum {
    fn starting_with(entry: &Entry) -> Self {
        let start = match entry.start {
            0 => entry.time,
            known => known,
        };
        Self {
            totals: Totals::new(entry.group),
            start,
            time: start,
            touched: Instant::now(),
        }
    }

    fn add(&mut self, entry: &Entry) {
        self.totals.add(&entry.row);
        self.touched = Instant::now();
    }

    /// Put the sums in `entry`. Its time moves if it has to: a series has one data point per moment,
    /// each later than the one before, even if a clock was set back.
    fn show_in(&mut self, entry: &mut Entry) {
        entry.row.show(&self.totals);
        entry.start = self.start;
        entry.time = entry.time.max(self.time.saturating_add(1));
        self.time = entry.time;
    }
}
