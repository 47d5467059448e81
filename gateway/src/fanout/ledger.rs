//! What came to an output and what became of it: offered = delivered + dropped +
//! what is still under way.

use metrics::{Counter, Gauge};

use crate::self_metrics::{
    POINTS_DELIVERED, POINTS_DROPPED, POINTS_OFFERED, POINTS_QUEUED, SelfMetrics,
};

/// Why an output dropped Points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The export profile has no metric for them.
    NotInProfile,
    /// The queue was full.
    QueueFull,
    /// The queue on disk could not be written.
    Disk,
    /// They could not be written as a request.
    Encoding,
    /// The subscriber left before it got them.
    SubscriberGone,
    /// The gateway stopped before they could be delivered.
    Stopped,
}

impl Cause {
    const ALL: [Self; 6] = [
        Self::NotInProfile,
        Self::QueueFull,
        Self::Disk,
        Self::Encoding,
        Self::SubscriberGone,
        Self::Stopped,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::NotInProfile => "not_in_profile",
            Self::QueueFull => "queue_full",
            Self::Disk => "disk",
            Self::Encoding => "encoding",
            Self::SubscriberGone => "subscriber_gone",
            Self::Stopped => "stopped",
        }
    }
}

/// Counts the Points of one output.
#[derive(Debug)]
pub struct Ledger {
    output: String,
    offered: Counter,
    delivered: Counter,
    dropped: [Counter; Cause::ALL.len()],
    queued: Gauge,
}

impl Ledger {
    /// The ledger of `output`.
    pub fn new(metrics: &SelfMetrics, output: &str) -> Self {
        Self {
            output: output.to_owned(),
            offered: metrics.counter(&POINTS_OFFERED, &[output]),
            delivered: metrics.counter(&POINTS_DELIVERED, &[output]),
            dropped: Cause::ALL
                .map(|cause| metrics.counter(&POINTS_DROPPED, &[output, cause.label()])),
            queued: metrics.gauge(&POINTS_QUEUED, &[output]),
        }
    }

    /// The name of the output.
    pub fn output(&self) -> &str {
        &self.output
    }

    /// The fan-out had `points` for this output.
    pub fn offered(&self, points: usize) {
        self.offered.increment(points as u64);
    }

    /// The output has passed on `points`.
    pub fn delivered(&self, points: usize) {
        self.delivered.increment(points as u64);
    }

    /// The output dropped `points`.
    pub fn dropped(&self, cause: Cause, points: usize) {
        self.dropped[cause as usize].increment(points as u64);
    }

    /// `points` wait in the output.
    pub(crate) fn queued(&self, points: usize) {
        self.queued
            .increment(u32::try_from(points).unwrap_or(u32::MAX));
    }

    /// `points` wait no more.
    pub(crate) fn unqueued(&self, points: usize) {
        self.queued
            .decrement(u32::try_from(points).unwrap_or(u32::MAX));
    }
}
