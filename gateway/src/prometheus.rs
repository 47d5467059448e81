//! The Prometheus output: `/metrics` and `/healthz` over HTTP.

mod compress;
mod negotiate;
mod series;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{
        HeaderMap, HeaderValue,
        header::{CONTENT_ENCODING, CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use metrics::{Counter, Gauge};
use tokio::{net::TcpListener, sync::watch, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub use self::series::FlowSeries;
use self::{compress::Compressor, negotiate::Coding};
use crate::{
    agents::Agents,
    otlp_metrics::OtlpMetrics,
    page::{Format, Page, reread},
    self_metrics::{SCRAPE_BYTES, SCRAPES, SelfMetrics},
    span_metrics::SpanMetrics,
};

/// The series that the gateway holds for others.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Of flows.
    pub flows: Arc<FlowSeries>,
    /// Of metrics that came over OTLP.
    pub otlp: Arc<OtlpMetrics>,
    /// Of spans that came over OTLP, if they are counted.
    pub spans: Option<Arc<SpanMetrics>>,
}

impl Sources {
    /// Part `index` of the page; `None` after the last one.
    fn part(&self, index: usize, format: Format) -> Option<Vec<u8>> {
        let mut page = Page::new(format);
        if let Some((name, has_head)) = self.flows.render_into(index, &mut page) {
            self.otlp.shared(name, has_head, &mut page);
            return Some(page.finish());
        }
        let mut index = index.checked_sub(self.flows.families())?;
        if let Some(spans) = &self.spans {
            if let Some(part) = spans.part(index, format) {
                return Some(part);
            }
            index = index.checked_sub(spans.families())?;
        }
        self.otlp.part(index, format)
    }

    /// Removes idle series; how many.
    fn sweep(&self) -> usize {
        let now = Instant::now();
        let spans = self.spans.as_ref().map_or(0, |spans| spans.sweep(now));
        self.flows.sweep() + spans + self.otlp.sweep(now)
    }
}

/// What `/metrics` is made of.
#[derive(Debug)]
pub struct Exposition {
    sources: Arc<ArcSwap<Sources>>,
    agents: Arc<Agents>,
    metrics: Arc<SelfMetrics>,
    /// In the order of [`Format::ALL`].
    scrapes: [Counter; 3],
    scrape_bytes: Gauge,
}

impl Exposition {
    /// An exposition of all that, and of whatever takes the place of `sources`.
    pub fn new(
        sources: Arc<ArcSwap<Sources>>,
        agents: Arc<Agents>,
        metrics: Arc<SelfMetrics>,
    ) -> Self {
        Self {
            scrapes: Format::ALL.map(|format| metrics.counter(&SCRAPES, &[format.name()])),
            scrape_bytes: metrics.gauge(&SCRAPE_BYTES, &[]),
            sources,
            agents,
            metrics,
        }
    }

    /// Part `index` of the page; `None` after the last one.
    fn part(&self, sources: &Sources, index: usize, format: Format) -> Option<Vec<u8>> {
        match index.checked_sub(1) {
            None => Some(self.own(format)),
            Some(index) => sources.part(index, format),
        }
    }

    fn own(&self, format: Format) -> Vec<u8> {
        let text = self.metrics.render();
        let mut page = Page::new(format);
        if format != Format::Text {
            reread(&text, &mut page);
        }
        self.agents.render(&mut page);
        match format {
            Format::Text => [text.into_bytes(), page.finish()].concat(),
            Format::OpenMetrics | Format::Protobuf => page.finish(),
        }
    }

    fn answered(&self, format: Format, size: usize) {
        self.scrapes[format as usize].increment(1);
        #[expect(clippy::cast_precision_loss, reason = "sizes stay far below 2^53")]
        self.scrape_bytes.set(size as f64);
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
/// whole page is never in memory, and nobody else waits longer than for one metric.
async fn metrics(State(exposition): State<Arc<Exposition>>, headers: HeaderMap) -> Response {
    let (format, coding) = (negotiate::format(&headers), negotiate::coding(&headers));
    let sources = exposition.sources.load_full();
    let answer = Compressor::new(coding).map(|compressor| Answer {
        exposition,
        sources,
        format,
        compressor: Some(compressor),
        index: 0,
        size: 0,
    });
    let parts = stream::unfold(answer, async |answer| {
        let mut answer = match answer {
            Ok(answer) if answer.compressor.is_some() => answer,
            // A cut answer fails the scrape; a short one would look complete.
            Err(error) => return Some((Err(error), Err(io::ErrorKind::Other.into()))),
            Ok(_) => return None,
        };
        let made = spawn_blocking(move || answer.next().map(|part| (part, answer))).await;
        Some(match made.map_err(io::Error::other).flatten() {
            Ok((part, answer)) => (Ok(Bytes::from(part)), Ok(answer)),
            Err(error) => (Err(error), Err(io::ErrorKind::Other.into())),
        })
    });
    let mut response = Body::from_stream(parts).into_response();
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static(format.content_type());
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    let coding = match coding {
        Coding::Identity => return response,
        Coding::Gzip => "gzip",
        Coding::Zstd => "zstd",
    };
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    response
}

/// An answer to a scrape on its way.
struct Answer {
    exposition: Arc<Exposition>,
    /// One page is of one moment, whatever takes their place meanwhile.
    sources: Arc<Sources>,
    format: Format,
    /// `None` after the last part.
    compressor: Option<Compressor>,
    index: usize,
    size: usize,
}

impl Answer {
    /// The next part. Not empty unless the answer is complete: an empty part is the end of some
    /// ways to send.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        while let Some(compressor) = &mut self.compressor {
            let part = self.exposition.part(&self.sources, self.index, self.format);
            self.index += 1;
            let last = part.is_none();
            let part = part.unwrap_or_else(|| self.format.end().into());
            self.size += part.len();
            let mut sent = compressor.push(part)?;
            if last && let Some(compressor) = self.compressor.take() {
                sent.extend(compressor.finish()?);
                self.exposition.answered(self.format, self.size);
            }
            if !sent.is_empty() {
                return Ok(sent);
            }
        }
        Ok(Vec::new())
    }
}

/// Remove series that were idle for `idle_expiry` from time to time until `stop` is cancelled.
pub async fn sweep(
    sources: Arc<ArcSwap<Sources>>,
    mut idle_expiry: watch::Receiver<Duration>,
    stop: CancellationToken,
) {
    loop {
        // Often enough that a series outlives its time by a quarter at most.
        let next = (*idle_expiry.borrow_and_update() / 4).max(Duration::from_millis(10));
        tokio::select! {
            () = stop.cancelled() => return,
            changed = idle_expiry.changed() => match changed {
                Ok(()) => continue,
                Err(_nobody_is_left) => return,
            },
            () = sleep(next) => {}
        }
        let sources = sources.load_full();
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
