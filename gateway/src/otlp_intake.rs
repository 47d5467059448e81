//! OTLP from the receiver: to every exporter, to subscribers, and metrics and spans to the Prometheus page.

mod meter;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use metrics::Counter;
use weir_otel_receiver::{Consumer, Refused, Taken};
use weir_point::otlp::{OtlpBatch, Signal};

pub use self::meter::ReceiverMeter;
use crate::{
    exporter::Exporter,
    otlp_metrics::{Dropped, OtlpMetrics},
    scripts::Scripts,
    self_metrics::{OTLP_WITHOUT_OUTPUT, SelfMetrics},
    span_metrics::SpanMetrics,
    subscription::Subscribers,
};

/// How soon a client should try again when every queue is full.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where OTLP goes, but for subscribers.
#[derive(Default)]
pub struct Outlets {
    /// Everything they forward.
    pub exporters: Vec<Arc<Exporter>>,
    /// Metrics; without it they are only forwarded.
    pub series: Option<Arc<OtlpMetrics>>,
    /// Spans; without it they are only forwarded.
    pub spans: Option<Arc<SpanMetrics>>,
}

/// Takes what the receiver has checked.
pub struct OtlpIntake {
    scripts: Arc<Scripts>,
    outlets: ArcSwap<Outlets>,
    subscribers: Arc<Subscribers>,
    without_output: [Counter; 3],
    stopping: AtomicBool,
}

impl OtlpIntake {
    /// An intake for these outputs, with `scripts` before them.
    pub fn new(
        scripts: Arc<Scripts>,
        outlets: Outlets,
        subscribers: Arc<Subscribers>,
        metrics: &SelfMetrics,
    ) -> Self {
        Self {
            scripts,
            outlets: ArcSwap::from_pointee(outlets),
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

    /// From now on hand everything to these. Gives back those before; as long as others hold them too, a batch is on its
    /// way to them.
    pub fn replace(&self, outlets: Outlets) -> Arc<Outlets> {
        self.outlets.swap(Arc::new(outlets))
    }
}

impl Outlets {
    /// The exporters that want `signal`.
    fn exporters(&self, signal: Signal) -> impl Iterator<Item = &Arc<Exporter>> {
        self.exporters
            .iter()
            .filter(move |exporter| exporter.forwards(signal))
    }

    /// Whether at least one exporter has taken it, or none wants it.
    ///
    /// If one is full and another is not, the batch is taken: to refuse it would make the client send it
    /// again, and the other would have it twice. The full one has counted what it did not take.
    fn forward(&self, batch: &OtlpBatch) -> bool {
        let (mut wanted, mut taken) = (0, 0);
        for exporter in self.exporters(batch.signal()) {
            wanted += 1;
            taken += usize::from(exporter.offer(batch).is_ok());
        }
        taken > 0 || wanted == 0
    }
}

impl Consumer for OtlpIntake {
    fn consume(&self, batch: OtlpBatch) -> Result<Taken, Refused> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(Refused::Stopping);
        }
        if batch.items() == 0 {
            return Ok(Taken::ALL);
        }
        let batch = self.scripts.otlp(batch);
        if batch.items() == 0 {
            return Ok(Taken::ALL);
        }
        let outlets = self.outlets.load();
        if !outlets.forward(&batch) {
            return Err(Refused::Full {
                retry_after: RETRY_AFTER,
            });
        }
        self.subscribers.offer_otlp(&batch);
        let is_forwarded = outlets.exporters(batch.signal()).next().is_some();
        match (batch.signal(), &outlets.series, &outlets.spans) {
            (Signal::Metrics, Some(series), _) => {
                let dropped = series.take(&batch);
                // An exporter has them all.
                if dropped.points > 0 && !is_forwarded {
                    return Ok(not_shown(&dropped));
                }
            }
            (Signal::Traces, _, Some(spans)) => spans.take(&batch),
            _ if !is_forwarded => {
                self.without_output[batch.signal() as usize].increment(batch.items() as u64);
            }
            _ => {}
        }
        Ok(Taken::ALL)
    }
}

/// The answer to metrics that go nowhere but to the Prometheus page, which did not take them all.
fn not_shown(dropped: &Dropped) -> Taken {
    let causes = dropped.causes.join(", ");
    Taken {
        rejected: dropped.points,
        message: format!("the Prometheus page does not take these data points: {causes}").into(),
    }
}
