//! What the intake counts.

use metrics::{Counter, Gauge};

use super::{event::Malformed, refusal::Refusal, runs::Turn};
use crate::self_metrics::{
    AGENTS, BATCHES, BATCHES_DUPLICATE, BATCHES_MISSING, BYTES, ROWS, ROWS_MALFORMED,
    STATUS_REFUSED, STREAMS_REFUSED, SelfMetrics,
};

pub(super) struct Meter {
    pub(super) agents: Gauge,
    pub(super) rows: Counter,
    pub(super) bytes: Counter,
    pub(super) status_refused: Counter,
    batches: Counter,
    duplicate: Counter,
    missing: Counter,
    refused: [Counter; Refusal::ALL.len()],
    malformed: [Counter; Malformed::ALL.len()],
}

impl Meter {
    pub(super) fn new(metrics: &SelfMetrics) -> Self {
        Self {
            agents: metrics.gauge(&AGENTS, &[]),
            rows: metrics.counter(&ROWS, &[]),
            bytes: metrics.counter(&BYTES, &[]),
            status_refused: metrics.counter(&STATUS_REFUSED, &[]),
            batches: metrics.counter(&BATCHES, &[]),
            duplicate: metrics.counter(&BATCHES_DUPLICATE, &[]),
            missing: metrics.counter(&BATCHES_MISSING, &[]),
            refused: Refusal::ALL
                .map(|refusal| metrics.counter(&STREAMS_REFUSED, &[refusal.label()])),
            malformed: Malformed::ALL
                .map(|malformed| metrics.counter(&ROWS_MALFORMED, &[malformed.label()])),
        }
    }

    pub(super) fn batch(&self, turn: &Turn) {
        match turn {
            Turn::Processed { missing } => {
                self.batches.increment(1);
                self.missing.increment(*missing);
            }
            Turn::Duplicate => self.duplicate.increment(1),
        }
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.refused[refusal as usize].increment(1);
    }

    pub(super) fn malformed(&self, malformed: Malformed) {
        self.malformed[malformed as usize].increment(1);
    }
}
