//! OTLP from the receiver: to every exporter, to subscribers, and metrics to the Prometheus page.

mod meter;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrics::Counter;
use weir_otel_receiver::{Consumer, Refused};
use weir_point::otlp::{OtlpBatch, Signal};

pub use self::meter::ReceiverMeter;
use crate::{
    exporter::Exporter,
    otlp_metrics::OtlpMetrics,
    self_metrics::{OTLP_WITHOUT_OUTPUT, SelfMetrics},
    subscription::Subscribers,
};

/// How soon a client should try again when every queue is full.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Takes what the receiver has checked.
pub struct OtlpIntake {
    exporters: Vec<Arc<Exporter>>,
    series: Option<Arc<OtlpMetrics>>,
    subscribers: Arc<Subscribers>,
    without_output: [Counter; 3],
    stopping: AtomicBool,
}

impl OtlpIntake {
    /// An intake for these outputs. Without `series`, metrics are only forwarded.
    pub fn new(
        exporters: Vec<Arc<Exporter>>,
        series: Option<Arc<OtlpMetrics>>,
        subscribers: Arc<Subscribers>,
        metrics: &SelfMetrics,
    ) -> Self {
        Self {
            exporters,
            series,
            subscribers,
            without_output: [Signal::Traces, Signal::Metrics, Signal::Logs]
                .map(|signal| metrics.counter(&OTLP_WITHOUT_OUTPUT, &[signal.name()])),
            stopping: AtomicBool::new(false),
        }
    }

    /// Takes nothing from now on.
    pub fn close(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether at least one exporter has taken it, or there is none.
    ///
    /// If one is full and another is not, the batch is taken: to refuse it would make the client send it
    /// again, and the other would have it twice. The full one has counted what it did not take.
    fn forward(&self, batch: &OtlpBatch) -> bool {
        let taken = self
            .exporters
            .iter()
            .filter(|exporter| exporter.offer(batch).is_ok())
            .count();
        taken > 0 || self.exporters.is_empty()
    }
}

impl Consumer for OtlpIntake {
    fn consume(&self, batch: OtlpBatch) -> Result<(), Refused> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(Refused::Stopping);
        }
        if batch.items() == 0 {
            return Ok(());
        }
        if !self.forward(&batch) {
            return Err(Refused::Full {
                retry_after: RETRY_AFTER,
            });
        }
        self.subscribers.offer_otlp(&batch);
        match &self.series {
            Some(series) if batch.signal() == Signal::Metrics => series.take(&batch),
            _ if self.exporters.is_empty() => {
                self.without_output[batch.signal() as usize].increment(batch.items() as u64);
            }
            _ => {}
        }
        Ok(())
    }
}
