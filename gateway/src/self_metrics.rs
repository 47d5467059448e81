//! The gateway's metrics about itself: the table of their names and the registry
//! that holds their values.

mod table;

use std::fmt;

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub use self::table::*;
use crate::profile::naming::Kind;

/// One metric of the gateway about itself.
#[derive(Debug)]
pub struct SelfMetric {
    /// Its Prometheus name.
    pub name: &'static str,
    /// Whether it only grows.
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
        let recorder = PrometheusBuilder::new().build_recorder();
        for metric in ALL {
            let (name, help) = (metric.name.into(), metric.help.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
            }
        }
        let handle = recorder.handle();
        let this = Self { recorder, handle };
        this.gauge(&BUILD_INFO, &[env!("CARGO_PKG_VERSION")]).set(1);
        this
    }

    /// The counter `metric` with these label values, in the order of its label names.
    pub fn counter(&self, metric: &'static SelfMetric, values: &[&'static str]) -> Counter {
        debug_assert_eq!(metric.kind, Kind::Counter);
        self.recorder
            .register_counter(&key(metric, values), &METADATA)
    }

    /// The gauge `metric` with these label values, in the order of its label names.
    pub fn gauge(&self, metric: &'static SelfMetric, values: &[&'static str]) -> Gauge {
        debug_assert_eq!(metric.kind, Kind::Gauge);
        self.recorder
            .register_gauge(&key(metric, values), &METADATA)
    }

    /// All values in the Prometheus text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }
}

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

fn key(metric: &'static SelfMetric, values: &[&'static str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels: Vec<Label> = metric
        .labels
        .iter()
        .zip(values)
        .map(|(name, value)| Label::from_static_parts(name, value))
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
