//! Every output of the gateway, and how it goes over to others without a batch lost or doubled on the way.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{sync::watch, time::sleep};
use tokio_util::task::TaskTracker;
use weir_runtime::stop::Deadline;

use super::{Notes, exporters::Exporters};
use crate::{
    config::{Config, Prometheus},
    exporter::StartError,
    fanout::{Fanout, Output},
    otlp_intake::{OtlpIntake, Outlets},
    otlp_metrics::OtlpMetrics,
    prometheus::{FlowSeries, Sources},
    scripts::Scripts,
    self_metrics::SelfMetrics,
    span_metrics::{self, SpanMetrics},
    subscription::Subscribers,
};

/// How soon it is looked again whether a batch is on its way: handing one on takes well below a millisecond.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Every output, and the ways to them.
pub(crate) struct Outputs {
    /// The way of flows.
    pub(crate) fanout: Arc<Fanout>,
    /// The way of OTLP.
    pub(crate) otlp: Arc<OtlpIntake>,
    /// What the Prometheus page is made of.
    pub(crate) page: Arc<ArcSwap<Sources>>,
    pub(crate) subscribers: Arc<Subscribers>,
    idle_expiry: watch::Sender<Duration>,
    exporters: Exporters,
    leaving: TaskTracker,
    metrics: Arc<SelfMetrics>,
}

impl Outputs {
    /// Start all of them.
    pub(crate) fn start(
        config: &Config,
        scripts: &Arc<Scripts>,
        metrics: &Arc<SelfMetrics>,
    ) -> Result<Self, StartError> {
        let exporters = Exporters::start(&config.otlp_exporters, metrics)?;
        let subscribers = Subscribers::new(
            config.subscription.queue,
            config.subscription.limit,
            metrics,
        );
        let sources = Sources {
            flows: flow_series(&config.prometheus, metrics),
            otlp: otlp_series(config, metrics),
            spans: span_series(config, metrics),
        };
        let flows = flow_outputs(&sources, &subscribers, &exporters);
        let outlets = outlets(config, &sources, &exporters);
        let otlp = OtlpIntake::new(
            Arc::clone(scripts),
            outlets,
            Arc::clone(&subscribers),
            metrics,
        );
        Ok(Self {
            fanout: Arc::new(Fanout::new(flows)),
            otlp: Arc::new(otlp),
            page: Arc::new(ArcSwap::from_pointee(sources)),
            subscribers,
            idle_expiry: watch::Sender::new(config.prometheus.idle_expiry),
            exporters,
            leaving: TaskTracker::new(),
            metrics: Arc::clone(metrics),
        })
    }

    /// How long series live without a Point, as it changes.
    pub(crate) fn idle_expiry(&self) -> watch::Receiver<Duration> {
        self.idle_expiry.subscribe()
    }

    /// Go over from `before` to `config`. What leaves has until the deadline of a stop to send what it has.
    pub(crate) fn apply(&mut self, before: &Config, config: &mut Config, notes: &mut Notes) {
        let leaving = self.exporters.apply(&mut config.otlp_exporters, notes);
        let sources = self.sources(before, config);
        self.idle_expiry.send_replace(config.prometheus.idle_expiry);
        let outlets = outlets(config, &sources, &self.exporters);
        let flows = flow_outputs(&sources, &self.subscribers, &self.exporters);
        // Whoever stays is in the old ones and in the new ones; every batch goes to either.
        let flows = self.fanout.replace(flows);
        let otlp = self.otlp.replace(outlets);
        self.page.store(Arc::new(sources));
        let time = config.stop_deadline;
        self.leaving.spawn(async move {
            unused(flows).await;
            unused(otlp).await;
            leaving.end(&Deadline::after(time)).await;
        });
    }

    /// Those before, as far as they are the same by `config`.
    fn sources(&self, before: &Config, config: &Config) -> Sources {
        let mut sources = Sources::clone(&self.page.load());
        let (old, new) = (&before.prometheus, &config.prometheus);
        let (budget, idle_expiry) = (&new.budget, new.idle_expiry);
        let other_names = old.profile != new.profile;
        if other_names {
            sources.flows = flow_series(new, &self.metrics);
        } else {
            sources.flows.limit(budget, idle_expiry);
        }
        // The names of others are not given to what comes over OTLP.
        if other_names || before.span_metrics.is_some() != config.span_metrics.is_some() {
            sources.otlp = otlp_series(config, &self.metrics);
        } else {
            sources.otlp.limit(budget.series, idle_expiry);
        }
        if before.span_metrics != config.span_metrics {
            sources.spans = span_series(config, &self.metrics);
        } else if let Some(spans) = &sources.spans {
            spans.limit(idle_expiry);
        }
        sources
    }

    /// After everything was handed to them. Whether nothing was cut off.
    pub(crate) async fn stop(&self, deadline: &Deadline) -> bool {
        self.leaving.close();
        let left = self.leaving.clone();
        let left = tokio::spawn(async move { left.wait().await });
        let (exported, left) = tokio::join!(
            self.exporters.stop(deadline),
            deadline.finish("outputs that left", left)
        );
        exported && left
    }
}

/// Wait until nobody else holds `old`.
async fn unused<T>(old: Arc<T>) {
    while Arc::strong_count(&old) > 1 {
        sleep(LOOK_AGAIN).await;
    }
}

fn flow_series(config: &Prometheus, metrics: &SelfMetrics) -> Arc<FlowSeries> {
    Arc::new(FlowSeries::new(
        config.profile,
        &config.budget,
        config.idle_expiry,
        metrics,
    ))
}

fn otlp_series(config: &Config, metrics: &SelfMetrics) -> Arc<OtlpMetrics> {
    let own = &config.prometheus;
    let names = config.span_metrics.iter().flat_map(|_| span_metrics::NAMES);
    let series = OtlpMetrics::new(own.profile, own.budget.series, own.idle_expiry, metrics);
    Arc::new(series.reserving(names))
}

fn span_series(config: &Config, metrics: &SelfMetrics) -> Option<Arc<SpanMetrics>> {
    let idle_expiry = config.prometheus.idle_expiry;
    let spans = config.span_metrics.clone()?;
    Some(Arc::new(SpanMetrics::new(spans, idle_expiry, metrics)))
}

fn flow_outputs(
    sources: &Sources,
    subscribers: &Arc<Subscribers>,
    exporters: &Exporters,
) -> Vec<Arc<dyn Output>> {
    let own: [Arc<dyn Output>; 2] = [
        Arc::<FlowSeries>::clone(&sources.flows),
        Arc::<Subscribers>::clone(subscribers),
    ];
    own.into_iter().chain(exporters.flows()).collect()
}

fn outlets(config: &Config, sources: &Sources, exporters: &Exporters) -> Outlets {
    let shown = config.prometheus.otlp_metrics;
    Outlets {
        exporters: exporters.all(),
        series: shown.then(|| Arc::clone(&sources.otlp)),
        spans: sources.spans.clone(),
    }
}
