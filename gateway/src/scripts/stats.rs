//! What each script has done.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use metrics::Counter;

use super::set::{Key, category_name};
use crate::self_metrics::{
    SCRIPT_DROPPED, SCRIPT_EDITED, SCRIPT_EMITTED, SCRIPT_ERRORS, SCRIPT_POINTS, SelfMetrics,
};

/// A script that fails on every Point need not be described for every Point.
const DESCRIBE_EVERY: Duration = Duration::from_secs(1);

/// Counts of one script, as metrics and for the API.
#[derive(Debug)]
pub(super) struct Stats {
    counts: Counts<AtomicU64>,
    nanoseconds: AtomicU64,
    metrics: Counts<Counter>,
    latest: Mutex<Option<LatestError>>,
}

/// One of each.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts<N> {
    pub(super) points: N,
    pub(super) edited: N,
    pub(super) dropped: N,
    pub(super) emitted: N,
    pub(super) errors: N,
}

impl<N> Counts<N> {
    fn each<'c, M>(&'c self, other: &'c Counts<M>) -> [(&'c N, &'c M); 5] {
        [
            (&self.points, &other.points),
            (&self.edited, &other.edited),
            (&self.dropped, &other.dropped),
            (&self.emitted, &other.emitted),
            (&self.errors, &other.errors),
        ]
    }
}

/// The failure that was described last.
#[derive(Debug, Clone)]
pub(super) struct LatestError {
    pub(super) text: String,
    pub(super) time: SystemTime,
    described: Instant,
}

impl Stats {
    /// For `key`; the metrics call it `shown_as`.
    pub(super) fn new(key: &Key, shown_as: &str, metrics: &SelfMetrics) -> Self {
        let labels = [category_name(key.category), shown_as, key.namespace.name()];
        let counter = |metric| metrics.counter(metric, &labels);
        Self {
            counts: Counts::default(),
            nanoseconds: AtomicU64::new(0),
            metrics: Counts {
                points: counter(&SCRIPT_POINTS),
                edited: counter(&SCRIPT_EDITED),
                dropped: counter(&SCRIPT_DROPPED),
                emitted: counter(&SCRIPT_EMITTED),
                errors: counter(&SCRIPT_ERRORS),
            },
            latest: Mutex::new(None),
        }
    }

    pub(super) fn add(&self, counts: &Counts<u64>, spent: Duration) {
        for (own, count) in self.counts.each(counts) {
            own.fetch_add(*count, Ordering::Relaxed);
        }
        for (own, count) in self.metrics.each(counts) {
            own.increment(*count);
        }
        let spent = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(spent, Ordering::Relaxed);
    }

    /// Keeps what `describe` says, unless one was described just before. Whether it was kept.
    pub(super) fn failed(&self, describe: impl FnOnce() -> String) -> Option<String> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let is_soon = |error: &LatestError| error.described.elapsed() < DESCRIBE_EVERY;
        if latest.as_ref().is_some_and(is_soon) {
            return None;
        }
        let text = describe();
        let is_new = latest.as_ref().is_none_or(|error| error.text != text);
        *latest = Some(LatestError {
            text: text.clone(),
            time: SystemTime::now(),
            described: Instant::now(),
        });
        is_new.then_some(text)
    }

    pub(super) fn counts(&self) -> Counts<u64> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            points: read(&self.counts.points),
            edited: read(&self.counts.edited),
            dropped: read(&self.counts.dropped),
            emitted: read(&self.counts.emitted),
            errors: read(&self.counts.errors),
        }
    }

    pub(super) fn nanoseconds(&self) -> u64 {
        self.nanoseconds.load(Ordering::Relaxed)
    }

    pub(super) fn latest_error(&self) -> Option<LatestError> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.clone()
    }
}
