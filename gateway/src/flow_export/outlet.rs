//! The way into an exporter's queue, and what is counted on it.

use std::{error::Error, sync::Arc};

use tracing::error;
use weir_point::otlp::{OtlpBatch, Signal};

use crate::{
    exporter::{Exporter, Full},
    fanout::{Cause, Ledger},
    self_metrics::SelfMetrics,
};

/// Hands requests of one signal to one exporter. A Point counts as delivered once a request with
/// it is in the exporter's queue; from there on the exporter counts items.
pub(super) struct Outlet {
    exporter: Arc<Exporter>,
    signal: Signal,
    pub(super) ledger: Ledger,
}

impl Outlet {
    /// To `exporter`; `shape` tells it from other outlets to the same.
    pub(super) fn new(
        exporter: &Arc<Exporter>,
        signal: Signal,
        shape: &str,
        metrics: &SelfMetrics,
    ) -> Self {
        let output = format!("otlp_exporters.{}.{shape}", exporter.name());
        Self {
            exporter: Arc::clone(exporter),
            signal,
            ledger: Ledger::new(metrics, &output),
        }
    }

    /// Hand on `request`, which has `points` Points in it. An empty one has nothing to say.
    pub(super) fn hand_on(&self, request: Vec<u8>, points: usize) {
        match self.try_hand_on(request) {
            Ok(()) => self.ledger.delivered(points),
            Err(cause) => self.ledger.dropped(cause, points),
        }
    }

    fn try_hand_on(&self, request: Vec<u8>) -> Result<(), Cause> {
        let batch = OtlpBatch::check(self.signal, request.into()).map_err(|wrong| {
            let (output, error) = (self.ledger.output(), &wrong as &dyn Error);
            error!(output, error, "a request was not written as it must be");
            Cause::Encoding
        })?;
        self.exporter.offer(&batch).map_err(|full| match full {
            Full::Queue => Cause::QueueFull,
            Full::Disk(_) => Cause::Disk,
            Full::Stopped => Cause::Stopped,
        })
    }
}
