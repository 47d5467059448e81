//! The Prometheus output: `/metrics` and `/healthz` over HTTP.

mod series;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use metrics::{Counter, Gauge};
use tokio::{
    net::TcpListener,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub use self::series::FlowSeries;
use crate::{
    agents::Agents,
    otlp_metrics::OtlpMetrics,
    self_metrics::{SCRAPE_BYTES, SCRAPES, SelfMetrics},
};

/// Version 0.0.4 is the text format that every Prometheus reads.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The series that the gateway holds for others.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Of flows.
    pub flows: Arc<FlowSeries>,
    /// Of metrics that came over OTLP.
    pub otlp: Arc<OtlpMetrics>,
}

impl Sources {
    /// Part `index` of the text; `None` after the last one.
    fn part(&self, index: usize) -> Option<String> {
        self.flows
            .render(index)
            .or_else(|| self.otlp.part(index.checked_sub(self.flows.families())?))
    }

    /// Removes idle series; how many.
    fn sweep(&self) -> usize {
        self.flows.sweep() + self.otlp.sweep(Instant::now())
    }
}

/// What `/metrics` is made of.
#[derive(Debug)]
pub struct Exposition {
    sources: Sources,
    agents: Arc<Agents>,
    metrics: Arc<SelfMetrics>,
    scrapes: Counter,
    scrape_bytes: Gauge,
}

impl Exposition {
    /// An exposition of all that.
    pub fn new(sources: Sources, agents: Arc<Agents>, metrics: Arc<SelfMetrics>) -> Self {
        Self {
            scrapes: metrics.counter(&SCRAPES, &[]),
            scrape_bytes: metrics.gauge(&SCRAPE_BYTES, &[]),
            sources,
            agents,
            metrics,
        }
    }

    /// Part `index` of the text; `None` after the last one.
    fn part(&self, index: usize) -> Option<String> {
        match index.checked_sub(1) {
            None => {
                let mut text = self.metrics.render();
                self.agents.render(&mut text);
                Some(text)
            }
            Some(index) => self.sources.part(index),
        }
    }
}

/// Serve until `stop` is cancelled.
pub async fn serve(listener: TcpListener, exposition: Exposition, stop: CancellationToken) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .with_state(Arc::new(exposition));
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        error!(
            error = &error as &dyn std::error::Error,
            "serving metrics failed"
        );
    }
}

/// One metric at a time, each rendered when the client has taken the one before: the
/// whole text is never in memory, and nobody else waits longer than for one metric.
async fn metrics(State(exposition): State<Arc<Exposition>>) -> Response {
    let parts = stream::unfold((0_usize, 0_usize), move |(index, size)| {
        let exposition = Arc::clone(&exposition);
        async move {
            let source = Arc::clone(&exposition);
            match spawn_blocking(move || source.part(index)).await {
                Ok(Some(text)) => {
                    let next = (index + 1, size + text.len());
                    Some((Ok(Bytes::from(text)), next))
                }
                Ok(None) => {
                    exposition.scrapes.increment(1);
                    #[expect(clippy::cast_precision_loss, reason = "sizes stay far below 2^53")]
                    exposition.scrape_bytes.set(size as f64);
                    None
                }
                // A cut answer fails the scrape; a short one would look complete.
                Err(error) => Some((Err(error), (usize::MAX, size))),
            }
        }
    });
    ([(CONTENT_TYPE, TEXT)], Body::from_stream(parts)).into_response()
}

/// Remove idle series from time to time until `stop` is cancelled.
pub async fn sweep(sources: Sources, idle_expiry: Duration, stop: CancellationToken) {
    // Often enough that a series outlives its time by a quarter at most.
    let mut ticks = interval((idle_expiry / 4).max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let sources = sources.clone();
        match spawn_blocking(move || sources.sweep()).await {
            Ok(0) => {}
            Ok(expired) => info!(expired, "idle label sets removed"),
            Err(error) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    "removing idle series failed"
                );
            }
        }
    }
}
