//! What came to an exporter and what became of it: offered = sent + dropped + queued.

use metrics::{Counter, Gauge};
use weir_point::otlp::Signal;

use super::Full;
use crate::self_metrics::{
    EXPORTER_BYTES_DROPPED, EXPORTER_BYTES_OFFERED, EXPORTER_BYTES_QUEUED, EXPORTER_BYTES_SENT,
    EXPORTER_ITEMS_DROPPED, EXPORTER_ITEMS_OFFERED, EXPORTER_ITEMS_QUEUED, EXPORTER_ITEMS_REFUSED,
    EXPORTER_ITEMS_SENT, EXPORTER_REQUESTS, EXPORTER_RETRIES, SelfMetrics,
};

/// An amount of requests: what is in them and how large they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) items: u64,
    pub(super) bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, other: Self) {
        self.items += other.items;
        self.bytes += other.bytes;
    }

    pub(super) fn subtract(&mut self, other: Self) {
        self.items = self.items.saturating_sub(other.items);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// Why something in the queue was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The endpoint will never take it.
    Refused,
    /// The endpoint took the request without these items.
    Rejected,
    /// Tried for too long.
    Expired,
    /// Damaged on disk.
    Unreadable,
    /// Only in memory when the gateway stopped.
    Stopped,
}

/// What became of one attempt to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    Accepted,
    Partial,
    Unavailable,
    Refused,
}

const CAUSES: [&str; 5] = ["refused", "rejected", "expired", "unreadable", "stopped"];
const RESULTS: [&str; 4] = ["accepted", "partial", "unavailable", "refused"];
const REFUSALS: [&str; 3] = ["full", "disk", "stopped"];

/// Counts one signal of one exporter.
#[derive(Debug)]
pub(super) struct Ledger {
    offered: [Counter; 2],
    sent: [Counter; 2],
    dropped: [[Counter; 2]; CAUSES.len()],
    queued: [Gauge; 2],
    refused: [Counter; REFUSALS.len()],
    requests: [Counter; RESULTS.len()],
    retries: Counter,
}

impl Ledger {
    pub(super) fn new(metrics: &SelfMetrics, exporter: &str, signal: Signal) -> Self {
        let labels = [exporter, signal.name()];
        let with = |last| [exporter, signal.name(), last];
        Self {
            offered: [&EXPORTER_ITEMS_OFFERED, &EXPORTER_BYTES_OFFERED]
                .map(|metric| metrics.counter(metric, &labels)),
            sent: [&EXPORTER_ITEMS_SENT, &EXPORTER_BYTES_SENT]
                .map(|metric| metrics.counter(metric, &labels)),
            dropped: CAUSES.map(|cause| {
                [&EXPORTER_ITEMS_DROPPED, &EXPORTER_BYTES_DROPPED]
                    .map(|metric| metrics.counter(metric, &with(cause)))
            }),
            queued: [&EXPORTER_ITEMS_QUEUED, &EXPORTER_BYTES_QUEUED]
                .map(|metric| metrics.gauge(metric, &labels)),
            refused: REFUSALS.map(|cause| metrics.counter(&EXPORTER_ITEMS_REFUSED, &with(cause))),
            requests: RESULTS.map(|result| metrics.counter(&EXPORTER_REQUESTS, &with(result))),
            retries: metrics.counter(&EXPORTER_RETRIES, &labels),
        }
    }

    pub(super) fn offered(&self, amount: Amount) {
        count(&self.offered, amount);
        self.queued[0].increment(float(amount.items));
        self.queued[1].increment(float(amount.bytes));
    }

    pub(super) fn refused(&self, items: u64, why: &Full) {
        let cause = match why {
            Full::Queue => 0,
            Full::Disk(_) => 1,
            Full::Stopped => 2,
        };
        self.refused[cause].increment(items);
    }

    /// `rejected` of the items in `amount` were left out by the endpoint.
    pub(super) fn sent(&self, amount: Amount, rejected: u64) {
        let rejected = rejected.min(amount.items);
        let Amount { items, bytes } = amount;
        count(
            &self.sent,
            Amount {
                items: items - rejected,
                bytes,
            },
        );
        self.dropped[Cause::Rejected as usize][0].increment(rejected);
        self.unqueued(amount);
    }

    pub(super) fn dropped(&self, cause: Cause, amount: Amount) {
        count(&self.dropped[cause as usize], amount);
        self.unqueued(amount);
    }

    pub(super) fn attempt(&self, result: Attempt) {
        self.requests[result as usize].increment(1);
    }

    pub(super) fn retry(&self) {
        self.retries.increment(1);
    }

    fn unqueued(&self, amount: Amount) {
        self.queued[0].decrement(float(amount.items));
        self.queued[1].decrement(float(amount.bytes));
    }
}

fn count(counters: &[Counter; 2], amount: Amount) {
    counters[0].increment(amount.items);
    counters[1].increment(amount.bytes);
}

/// Exact up to 2^53.
pub(super) fn float(amount: u64) -> f64 {
    amount as f64
}
