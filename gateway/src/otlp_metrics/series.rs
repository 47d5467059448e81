//! The series of one metric: its label sets with a budget and an expiry.

use std::hash::BuildHasher as _;

use hashbrown::HashMap;
use weir_point::otlp::metrics::Span;

use super::{Cause, labels};
use crate::page::{Exemplar, Exemplars, Origin};

/// Moments, in tenths of a second since the gateway started.
pub(super) type Tick = u32;

/// How many series past the budget are followed, for each that the budget allows: enough to keep
/// the total right when a metric is several times over its budget.
const FOLLOWED: usize = 4;

/// What a series holds.
pub(super) trait Value: Clone {
    /// Becomes `other`.
    fn replace(&mut self, other: &Self) -> Shape;
    /// Takes in what came after it; becomes it if the two do not add up.
    fn add(&mut self, delta: &Self) -> Shape;
    /// How much it grew since `before`; all of it if it is less, for then it began anew.
    fn since(&self, before: &Self) -> Self;
    /// In which bucket a measured value is; each has room for one exemplar.
    fn bucket(&self, _measured: f64) -> i32 {
        0
    }
}

/// Whether a value has the buckets it had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Kept,
    Other,
}

/// How a data point relates to the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It replaces it, and says nothing about other series.
    Replace,
    /// It replaces it, and what it grew adds up with other series.
    Grow,
    /// It adds to it.
    Add,
}

/// One label set and its value.
#[derive(Debug)]
struct Tracked<T> {
    touched: Tick,
    /// Where the value began with zero; 0 if not known.
    start: u64,
    time: u64,
    value: T,
    /// Most series have none.
    exemplars: Option<Box<Exemplars>>,
}

/// A label set past the budget.
#[derive(Debug)]
struct Followed<T> {
    touched: Tick,
    start: u64,
    time: u64,
    /// The value it had last, where only that tells how much it grew.
    last: Option<T>,
}

/// All series of a metric.
#[derive(Debug)]
pub(super) struct Series<T> {
    rows: HashMap<Box<str>, Tracked<T>>,
    /// The sum of what came past the budget.
    other: Option<T>,
    /// By hash: the label text would need the room that the budget denies.
    followed: HashMap<u64, Followed<T>>,
}

/// What became of a data point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    Folded,
    Dropped(Cause),
}

/// A data point on its way into a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'a, T> {
    pub(super) labels: &'a str,
    pub(super) span: Span,
    pub(super) change: Change,
    pub(super) value: &'a T,
    pub(super) now: Tick,
}

impl<T> Default for Series<T> {
    fn default() -> Self {
        Self {
            rows: HashMap::new(),
            other: None,
            followed: HashMap::new(),
        }
    }
}

impl<T: Value> Series<T> {
    /// The number of label sets, without the one for the rest.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.other.is_none()
    }

    /// Every label set with its value, the one for the rest last.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &T, Origin<'_>)> {
        let rows = self.rows.iter();
        let rows = rows.map(|(labels, tracked)| (&**labels, &tracked.value, tracked.origin()));
        let other = self.other.iter();
        rows.chain(other.map(|other| (labels::OTHER, other, Origin::default())))
    }

    /// How many exemplars are held.
    pub(super) fn exemplars(&self) -> usize {
        let held = self.rows.values().map(|tracked| &tracked.exemplars);
        held.flatten().map(|exemplars| exemplars.len()).sum()
    }

    /// Keep `exemplar` of the series with these labels; false if there is no room for it.
    pub(super) fn exemplify(
        &mut self,
        labels: &str,
        exemplar: Exemplar,
        room: impl FnOnce() -> bool,
    ) -> bool {
        let Some(tracked) = self.rows.get_mut(labels) else {
            return false;
        };
        let bucket = tracked.value.bucket(exemplar.value);
        let held = tracked.exemplars.as_ref();
        if !held.is_some_and(|held| held.has(bucket)) && !room() {
            return false;
        }
        let held = tracked.exemplars.get_or_insert_default();
        held.take(bucket, exemplar);
        true
    }

    /// The series with these labels has ended.
    pub(super) fn end(&mut self, labels: &str) {
        self.rows.remove(labels);
    }

    pub(super) fn take(&mut self, arrival: Arrival<'_, T>, budget: usize) -> Outcome {
        let Arrival {
            labels,
            span,
            change,
            value,
            now,
        } = arrival;
        if let Some(tracked) = self.rows.get_mut(labels) {
            if is_late(span.time, tracked.time, change) {
                return Outcome::Dropped(Cause::OutOfOrder);
            }
            (tracked.touched, tracked.time) = (now, span.time);
            let shape = match change {
                Change::Replace | Change::Grow => tracked.value.replace(value),
                Change::Add => tracked.value.add(value),
            };
            // A sum of deltas began with the first.
            if change != Change::Add || shape == Shape::Other {
                tracked.start = span.start;
            }
            if shape == Shape::Other {
                tracked.exemplars = None;
            }
            return Outcome::Taken;
        }
        // One that is part of the rest stays there: on a row of its own it would count twice.
        let hash = self.rows.hasher().hash_one(labels);
        let is_followed = !self.followed.is_empty() && self.followed.contains_key(&hash);
        if self.rows.len() < budget && !is_followed && labels != labels::OTHER {
            let tracked = Tracked {
                touched: now,
                start: span.start,
                time: span.time,
                value: value.clone(),
                exemplars: None,
            };
            self.rows.insert(labels.into(), tracked);
            return Outcome::Taken;
        }
        self.fold(hash, arrival, budget)
    }

    fn fold(&mut self, hash: u64, arrival: Arrival<'_, T>, budget: usize) -> Outcome {
        let Arrival {
            span,
            change,
            value,
            now,
            ..
        } = arrival;
        if change == Change::Replace {
            return Outcome::Dropped(Cause::Budget);
        }
        let last = (change == Change::Grow).then(|| value.clone());
        let has_room = self.followed.len() < budget.saturating_mul(FOLLOWED);
        let delta = match self.followed.get_mut(&hash) {
            Some(followed) => {
                if is_late(span.time, followed.time, change) {
                    return Outcome::Dropped(Cause::OutOfOrder);
                }
                let anew = followed.start != span.start;
                let before = followed.last.take().filter(|_| !anew);
                *followed = Followed {
                    touched: now,
                    start: span.start,
                    time: span.time,
                    last,
                };
                before.map(|before| value.since(&before))
            }
            None if has_room => {
                let followed = Followed {
                    touched: now,
                    start: span.start,
                    time: span.time,
                    last,
                };
                self.followed.insert(hash, followed);
                None
            }
            None if change == Change::Grow => return Outcome::Dropped(Cause::Budget),
            None => None,
        };
        let delta = delta.as_ref().unwrap_or(value);
        match &mut self.other {
            Some(other) => {
                other.add(delta);
            }
            None => self.other = Some(delta.clone()),
        }
        Outcome::Folded
    }

    /// Remove what was not touched for `expiry` ticks; returns how many label sets.
    pub(super) fn sweep(&mut self, now: Tick, expiry: Tick, budget: usize) -> usize {
        let before = self.rows.len();
        let is_live = |touched: Tick| now.saturating_sub(touched) <= expiry;
        self.rows.retain(|_, tracked| is_live(tracked.touched));
        let left = self.rows.len();
        if left < self.rows.capacity() / 4 {
            self.rows.shrink_to(left * 2);
        }
        // One that comes back after it was forgotten adds its whole value once more; so
        // only where room is short.
        if self.followed.len() > budget.saturating_mul(FOLLOWED) / 2 {
            self.followed
                .retain(|_, followed| is_live(followed.touched));
        }
        before - left
    }
}

impl<T> Tracked<T> {
    fn origin(&self) -> Origin<'_> {
        let created = if self.start <= self.time {
            self.start
        } else {
            0
        };
        let held = self.exemplars.as_deref();
        Origin {
            created,
            exemplars: held.map_or(&[], Exemplars::as_slice),
        }
    }
}

/// A delta of the same moment is the same delta; a value of the same moment replaces itself.
fn is_late(time: u64, before: u64, change: Change) -> bool {
    time != 0 && (time < before || change == Change::Add && time == before)
}
