//! The OTLP output: metrics over gRPC to a configured endpoint.

mod client;
mod request;
mod window;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use metrics::Counter;
use tokio::time::{Instant, timeout_at};
use tonic::transport::Endpoint;
use tracing::{info, warn};
use weir_point::PointBatch;

pub use self::client::{EndpointError, endpoint};
use self::{
    client::{Client, Outcome},
    window::Window,
};
use crate::{
    fanout::{self, Cause, Ledger, Output, Receiver, Sender},
    profile::Profile,
    self_metrics::{OTLP_DATA_POINTS, OTLP_DATA_POINTS_REJECTED, OTLP_REQUESTS, SelfMetrics},
};

/// What the output needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to send, from [`endpoint`].
    pub endpoint: Endpoint,
    /// How many Points may wait.
    pub queue: usize,
    /// How long one attempt to send may take.
    pub timeout: Duration,
    /// How long Points are gathered before they are sent.
    pub gather: Duration,
}

/// Points gathered for one round of requests. Gathering ends early at this many.
const MOST_GATHERED: usize = 8192;

/// The end of the queue at the fan-out.
pub struct OtlpOutput {
    sender: Mutex<Option<Sender<Arc<PointBatch>>>>,
}

/// The task behind the queue.
pub struct Exporter {
    profile: &'static Profile,
    gather: Duration,
    client: Client,
    queue: Receiver<Arc<PointBatch>>,
    under_way: UnderWay,
    meter: Meter,
}

impl OtlpOutput {
    /// The output and the task that must run behind it.
    pub fn new(
        config: Config,
        profile: &'static Profile,
        metrics: &SelfMetrics,
    ) -> (Arc<Self>, Exporter) {
        let ledger = Arc::new(Ledger::new(metrics, "otlp"));
        let client = Client::new(&config.endpoint, config.timeout);
        let (sender, queue) = fanout::queue(config.queue, Arc::clone(&ledger), Cause::Stopped);
        let output = Arc::new(Self {
            sender: Mutex::new(Some(sender)),
        });
        let exporter = Exporter {
            profile,
            gather: config.gather,
            client,
            queue,
            under_way: UnderWay { ledger, points: 0 },
            meter: Meter::new(metrics),
        };
        (output, exporter)
    }
}

impl Output for OtlpOutput {
    fn offer(&self, batch: &Arc<PointBatch>) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*sender {
            sender.offer(Arc::clone(batch), batch.len());
        }
    }

    fn close(&self) {
        self.sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

impl Exporter {
    /// Send what comes until the queue is closed and empty.
    pub async fn run(mut self) {
        while let Some(window) = self.gather().await {
            self.send(window).await;
        }
        info!("OTLP export has sent everything");
    }

    /// Gather for a moment, so that Points of one period that came in several batches
    /// meet in one data point. `None` once the queue is closed and empty.
    async fn gather(&mut self) -> Option<Window> {
        let first = self.queue.recv().await?;
        let deadline = Instant::now() + self.gather;
        let mut window = Window::new(self.profile);
        let mut next = Some(first);
        while let Some((batch, points)) = next {
            self.under_way.begin(points);
            let unknown = window.add(&batch);
            self.under_way.dropped(Cause::NotInProfile, unknown);
            if window.points() >= MOST_GATHERED {
                break;
            }
            next = timeout_at(deadline, self.queue.recv()).await.ok().flatten();
        }
        Some(window)
    }

    /// Send everything in `window`. While the endpoint is away this tries again and
    /// again, and the queue fills up behind it.
    async fn send(&mut self, window: Window) {
        for part in window.into_parts() {
            let request = request::of(&part.entries);
            let Some((request, data_points)) = request else {
                self.under_way.delivered(part.points);
                continue;
            };
            match self.client.export(request, &self.meter.retried).await {
                Outcome::Accepted { rejected, message } => {
                    self.meter.accepted.increment(1);
                    let rejected = rejected.min(data_points);
                    self.meter.data_points.increment(data_points - rejected);
                    self.meter.data_points_rejected.increment(rejected);
                    if rejected > 0 || !message.is_empty() {
                        warn!(rejected, "OTLP endpoint took a request in part: {message}");
                    }
                    self.under_way.delivered(part.points);
                }
                Outcome::Refused(status) => {
                    self.meter.refused.increment(1);
                    warn!(
                        points = part.points,
                        code = ?status.code(),
                        "OTLP endpoint refused a request: {}",
                        status.message()
                    );
                    self.under_way.dropped(Cause::Refused, part.points);
                }
            }
        }
    }
}

/// Points taken from the queue and not yet accounted for. If the task is cut off at a
/// stop, they count as dropped.
struct UnderWay {
    ledger: Arc<Ledger>,
    points: usize,
}

impl UnderWay {
    fn begin(&mut self, points: usize) {
        self.points += points;
    }

    fn delivered(&mut self, points: usize) {
        self.points -= points;
        self.ledger.delivered(points);
    }

    fn dropped(&mut self, cause: Cause, points: usize) {
        self.points -= points;
        self.ledger.dropped(cause, points);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.points > 0 {
            warn!(points = self.points, "OTLP export was cut off");
            self.ledger.dropped(Cause::Stopped, self.points);
        }
    }
}

struct Meter {
    accepted: Counter,
    refused: Counter,
    retried: Counter,
    data_points: Counter,
    data_points_rejected: Counter,
}

impl Meter {
    fn new(metrics: &SelfMetrics) -> Self {
        let requests = |result| metrics.counter(&OTLP_REQUESTS, &[result]);
        Self {
            accepted: requests("accepted"),
            refused: requests("refused"),
            retried: requests("retried"),
            data_points: metrics.counter(&OTLP_DATA_POINTS, &[]),
            data_points_rejected: metrics.counter(&OTLP_DATA_POINTS_REJECTED, &[]),
        }
    }
}
