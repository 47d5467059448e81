//! The gateway's metrics about itself: the table of their names and the registry
//! that holds their values.

mod samples;
mod table;

use std::{fmt, sync::Arc, time::Duration};

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use weir_runtime::telemetry::Sample;

pub use self::table::*;

/// What a metric of the gateway about itself is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts durations in seconds, by [`BUCKETS`].
    Histogram,
}

impl Kind {
    /// The word of the `# TYPE` line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Upper bounds of the buckets of every histogram, in seconds.
pub const BUCKETS: [f64; 11] = [
    0.000_1, 0.000_25, 0.001, 0.002_5, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// One metric of the gateway about itself.
#[derive(Debug)]
pub struct SelfMetric {
    /// Its Prometheus name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// One sentence for users.
    pub help: &'static str,
}

/// Holds the values. One per gateway and handed to its parts, so that two gateways in
/// one process do not count into each other.
pub struct SelfMetrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl SelfMetrics {
    /// An empty registry that knows the help texts.
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new();
        // The suffix of every histogram here; buckets are refused only if there are none.
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let recorder = builder
            .set_buckets_for_metric(seconds, &BUCKETS)
            .unwrap_or_default()
            .build_recorder();
        for metric in ALL {
            let (name, help) = (metric.name.into(), metric.help.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram => recorder.describe_histogram(name, None, help),
            }
        }
        let handle = recorder.handle();
        let this = Self { recorder, handle };
        this.gauge(&BUILD_INFO, &[env!("CARGO_PKG_VERSION")]).set(1);
        this
    }

    /// The counter `metric` with these label values, in the order of its label names.
    pub fn counter(&self, metric: &'static SelfMetric, values: &[&str]) -> Counter {
        debug_assert_eq!(metric.kind, Kind::Counter);
        self.recorder
            .register_counter(&key(metric, values), &METADATA)
    }

    /// The gauge `metric` with these label values, in the order of its label names.
    pub fn gauge(&self, metric: &'static SelfMetric, values: &[&str]) -> Gauge {
        debug_assert_eq!(metric.kind, Kind::Gauge);
        self.recorder
            .register_gauge(&key(metric, values), &METADATA)
    }

    /// The histogram `metric` with these label values, in the order of its label names. In seconds.
    pub fn histogram(&self, metric: &'static SelfMetric, values: &[&str]) -> Histogram {
        debug_assert_eq!(metric.kind, Kind::Histogram);
        self.recorder
            .register_histogram(&key(metric, values), &METADATA)
    }

    /// Sorts recorded durations into their buckets. Until then, or until the next scrape, each is kept, so this
    /// must be called every few seconds.
    pub fn sort_durations(&self) {
        self.handle.run_upkeep();
    }

    /// All values, as they are in the text.
    pub fn samples(&self) -> Vec<Sample> {
        samples::of(&self.render())
    }

    /// All values in the Prometheus text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }
}

/// How long durations wait before they are sorted: a few hundred thousand at most.
const SORT_EVERY: Duration = Duration::from_secs(2);

/// Sorts recorded durations from time to time until `stop` is cancelled.
pub async fn upkeep(metrics: Arc<SelfMetrics>, stop: CancellationToken) {
    let mut ticks = interval(SORT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        metrics.sort_durations();
    }
}

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

fn key(metric: &'static SelfMetric, values: &[&str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels: Vec<Label> = metric
        .labels
        .iter()
        .zip(values)
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(metric.name, labels)
}

impl Default for SelfMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SelfMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfMetrics").finish_non_exhaustive()
    }
}
