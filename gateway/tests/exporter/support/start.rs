//! An exporter as the gateway's configuration describes it, and its metrics.

use std::{net::SocketAddr, time::Duration};

use weir_gateway::{
    exporter::{Config, Exporter, StartError},
    self_metrics::SelfMetrics,
};
use weir_runtime::{config::Document, stop::Deadline};

use super::eventually;

/// A running exporter and its counters.
pub(crate) struct Running {
    pub(crate) exporter: Exporter,
    metrics: SelfMetrics,
}

/// The exporter `main` with these keys, as in `compression: gzip, batch: {delay: 0s}`.
pub(crate) fn config(keys: &str) -> Config {
    let text = format!("otlp_exporters: {{main: {{{keys}}}}}");
    let mut all = Document::parse("test.yaml", &text, "WEIR_TEST", [])
        .and_then(|document| document.read(Config::read_all))
        .expect("a configuration");
    all.pop().expect("one exporter").1
}

/// An exporter to `http://ADDRESS` that gathers for a moment only, with these further keys.
pub(crate) fn start(address: SocketAddr, keys: &str) -> Running {
    let batch = if keys.contains("batch:") {
        ""
    } else {
        ", batch: {delay: 5ms}"
    };
    let keys = format!("endpoint: 'http://{address}', {keys}{batch}");
    Running::try_start(config(&keys)).expect("an exporter")
}

impl Running {
    pub(crate) fn try_start(config: Config) -> Result<Self, StartError> {
        let metrics = SelfMetrics::new();
        let exporter = Exporter::start("main", config, &metrics)?;
        Ok(Self { exporter, metrics })
    }

    /// Whether nothing was left in memory.
    pub(crate) async fn stop_within(&self, budget: Duration) -> bool {
        self.exporter.stop(&Deadline::after(budget)).await
    }

    /// The sum of the series of `weir_gateway_exporter_NAME` that have all of `labels`, each
    /// as in `signal="logs"`.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let text = self.metrics.render();
        let name = format!("weir_gateway_exporter_{name}");
        let mut sum = 0.0;
        for line in text.lines() {
            let (series, value) = line.rsplit_once(' ').unwrap_or((line, ""));
            let (family, rest) = series.split_once('{').unwrap_or((series, ""));
            if family == name && labels.iter().all(|label| rest.contains(label)) {
                sum += value.parse::<f64>().expect("a number");
            }
        }
        sum as u64
    }

    /// Offered, sent, dropped and queued, in items.
    pub(crate) fn ledger(&self) -> [u64; 4] {
        [
            "items_offered_total",
            "items_sent_total",
            "items_dropped_total",
            "items_queued",
        ]
        .map(|name| self.metric(name, &[]))
    }

    /// Offered is sent, dropped and queued together, in items and in bytes; once what is being
    /// counted at this moment has been.
    pub(crate) async fn assert_balanced(&self) {
        for unit in ["items", "bytes"] {
            let of = |what: &str| self.metric(&format!("{unit}_{what}"), &[]);
            let accounted = || of("sent_total") + of("dropped_total") + of("queued");
            eventually!(of("offered_total") == accounted());
        }
    }
}
