//! Sums since the first Point of each series, for endpoints that do not take deltas.

use std::time::{Duration, Instant};

use hashbrown::HashMap;
use metrics::{Counter, Gauge};

use super::window::{Entry, Kind, Origin, kinds};
use crate::{
    aggregate::{Row, Totals},
    profile::Profile,
    self_metrics::{
        EXPORTER_FLOW_EXPIRED, EXPORTER_FLOW_FOLDED, EXPORTER_FLOW_LABEL_SETS,
        EXPORTER_FLOW_VALUES_LEFT, SelfMetrics,
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
    shown: Gauge,
    expired: Counter,
    folded: Counter,
    gauges_left: Counter,
}

struct Sum {
    totals: Totals,
    start: u64,
    /// Of the latest data point.
    time: u64,
    touched: Instant,
}

impl Cumulative {
    /// No series yet, and room for `budget` label sets per group; one without a Point for
    /// `idle_expiry` goes.
    pub(super) fn new(
        profile: &'static Profile,
        budget: usize,
        idle_expiry: Duration,
        (exporter, metrics): (&str, &SelfMetrics),
    ) -> Self {
        let groups = kinds(profile).into_iter().map(|kind| {
            let labels = [exporter, kind.group.name];
            Series {
                held: HashMap::new(),
                other: None,
                shown: metrics.gauge(&EXPORTER_FLOW_LABEL_SETS, &labels),
                expired: metrics.counter(&EXPORTER_FLOW_EXPIRED, &labels),
                folded: metrics.counter(&EXPORTER_FLOW_FOLDED, &labels),
                gauges_left: metrics.counter(&EXPORTER_FLOW_VALUES_LEFT, &labels),
                kind,
            }
        });
        Self {
            groups: groups.collect(),
            budget,
            idle_expiry,
        }
    }

    /// `entries` with the sums so far in place of what they add to them. What is past the budget
    /// becomes one entry per group.
    pub(super) fn add(&mut self, mut entries: Vec<Entry>) -> Vec<Entry> {
        entries.sort_by_key(|entry| entry.time);
        let mut key = String::new();
        let mut folded: Vec<Option<Entry>> = self.groups.iter().map(|_| None).collect();
        entries.retain_mut(|entry| {
            let series = &mut self.groups[entry.kind];
            key.clear();
            if let Some(point) = entry.point() {
                series.kind.labels.write(point, &mut key);
            }
            if series.add(&key, self.budget, entry) {
                return true;
            }
            series.fold(entry, &mut folded[entry.kind]);
            false
        });
        for (series, entry) in self.groups.iter_mut().zip(&mut folded) {
            if let (Some(sum), Some(entry)) = (&mut series.other, entry) {
                sum.show_in(entry);
            }
            series.show_held();
        }
        entries.extend(folded.into_iter().flatten());
        entries
    }

    /// Remove series that were idle for too long.
    pub(super) fn sweep(&mut self) {
        for series in &mut self.groups {
            let before = series.held.len();
            series
                .held
                .retain(|_, sum| sum.touched.elapsed() <= self.idle_expiry);
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
    /// Whether there is a series for `entry`, or room for one.
    fn add(&mut self, key: &str, budget: usize, entry: &mut Entry) -> bool {
        if !self.held.contains_key(key) {
            if self.held.len() >= budget {
                return false;
            }
            self.held.insert(key.into(), Sum::starting_with(entry));
        }
        if let Some(sum) = self.held.get_mut(key) {
            sum.add(entry);
            sum.show_in(entry);
        }
        true
    }

    /// Add `entry` to the series for what is past the budget, which is shown by `shown`.
    fn fold(&mut self, entry: &Entry, shown: &mut Option<Entry>) {
        self.folded.increment(entry.merged as u64);
        // Gauges mean nothing on a series that mixes label sets.
        self.gauges_left.increment(entry.row.gauges());
        self.other
            .get_or_insert_with(|| Sum::starting_with(entry))
            .add(entry);
        let shown = shown.get_or_insert_with(|| Entry {
            kind: entry.kind,
            set: entry.set,
            group: entry.group,
            row: Row::new(entry.group),
            time: entry.time,
            start: 0,
            points: 0,
            merged: 0,
            origin: Origin::Other,
        });
        shown.points += entry.points;
        shown.merged += entry.merged;
        shown.time = shown.time.max(entry.time);
    }

    fn show_held(&self) {
        self.shown
            .set(u32::try_from(self.held.len()).unwrap_or(u32::MAX));
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
