//! Counts what became of the data points.

use metrics::{Counter, Gauge};

use super::series::Outcome;
use crate::self_metrics::{
    OTLP_EXEMPLARS, OTLP_HELP_CONFLICTS, OTLP_SERIES, OTLP_SERIES_COARSE, OTLP_SERIES_DROPPED,
    OTLP_SERIES_EXPIRED, OTLP_SERIES_POINTS, OTLP_TARGETS_DROPPED, SelfMetrics,
};

/// Why a data point was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The metric has as many label sets as allowed, and its values do not add up.
    Budget,
    /// There are too many metric names.
    MetricsLimit,
    /// A metric of weir has the name, or a part of another metric.
    NameTaken,
    /// A metric of another kind had the name first.
    Kind,
    /// Neither delta nor cumulative.
    Temporality,
    /// Not later than what is held.
    OutOfOrder,
    /// The data model forbids it.
    Malformed,
    /// Too many buckets or quantiles, or too much text.
    TooLarge,
}

impl Cause {
    const ALL: [Self; 8] = [
        Self::Budget,
        Self::MetricsLimit,
        Self::NameTaken,
        Self::Kind,
        Self::Temporality,
        Self::OutOfOrder,
        Self::Malformed,
        Self::TooLarge,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::MetricsLimit => "metrics_limit",
            Self::NameTaken => "name_taken",
            Self::Kind => "kind",
            Self::Temporality => "temporality",
            Self::OutOfOrder => "out_of_order",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
        }
    }
}

/// The counts of one batch.
#[derive(Debug, Default)]
pub(super) struct Tally {
    taken: u64,
    folded: u64,
    dropped: [u64; Cause::ALL.len()],
    pub(super) help_conflicts: u64,
    pub(super) targets_dropped: u64,
    pub(super) coarse: u64,
    pub(super) exemplars_taken: u64,
    pub(super) exemplars_dropped: u64,
}

/// What the page did not take of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Data points.
    pub points: u64,
    /// The causes, as in the gateway's own metrics.
    pub causes: Vec<&'static str>,
}

impl Tally {
    /// What was dropped.
    pub(super) fn into_dropped(self) -> Dropped {
        let causes = Cause::ALL.into_iter().zip(self.dropped);
        Dropped {
            points: self.dropped.iter().sum(),
            causes: causes
                .filter(|(_, count)| *count > 0)
                .map(|(cause, _)| cause.label())
                .collect(),
        }
    }

    pub(super) fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Taken => self.taken += 1,
            Outcome::Folded => self.folded += 1,
            Outcome::Dropped(cause) => self.dropped(cause, 1),
        }
    }

    pub(super) fn dropped(&mut self, cause: Cause, points: usize) {
        self.dropped[cause as usize] += points as u64;
    }
}

/// The counts since the start.
#[derive(Debug)]
pub(super) struct Meters {
    taken: Counter,
    folded: Counter,
    dropped: Counter,
    causes: [Counter; Cause::ALL.len()],
    pub(super) series: Gauge,
    pub(super) expired: Counter,
    help_conflicts: Counter,
    targets_dropped: Counter,
    coarse: Counter,
    exemplars_taken: Counter,
    exemplars_dropped: Counter,
}

impl Meters {
    pub(super) fn new(metrics: &SelfMetrics) -> Self {
        let result = |result| metrics.counter(&OTLP_SERIES_POINTS, &[result]);
        Self {
            taken: result("taken"),
            folded: result("folded"),
            dropped: result("dropped"),
            causes: Cause::ALL.map(|cause| metrics.counter(&OTLP_SERIES_DROPPED, &[cause.label()])),
            series: metrics.gauge(&OTLP_SERIES, &[]),
            expired: metrics.counter(&OTLP_SERIES_EXPIRED, &[]),
            help_conflicts: metrics.counter(&OTLP_HELP_CONFLICTS, &[]),
            targets_dropped: metrics.counter(&OTLP_TARGETS_DROPPED, &[]),
            coarse: metrics.counter(&OTLP_SERIES_COARSE, &[]),
            exemplars_taken: metrics.counter(&OTLP_EXEMPLARS, &["taken"]),
            exemplars_dropped: metrics.counter(&OTLP_EXEMPLARS, &["dropped"]),
        }
    }

    pub(super) fn add(&self, tally: &Tally) {
        self.taken.increment(tally.taken);
        self.folded.increment(tally.folded);
        self.dropped.increment(tally.dropped.iter().sum());
        for (counter, count) in self.causes.iter().zip(tally.dropped) {
            counter.increment(count);
        }
        self.help_conflicts.increment(tally.help_conflicts);
        self.targets_dropped.increment(tally.targets_dropped);
        self.coarse.increment(tally.coarse);
        self.exemplars_taken.increment(tally.exemplars_taken);
        self.exemplars_dropped.increment(tally.exemplars_dropped);
    }
}
