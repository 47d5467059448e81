//! Wiring of OTLP on its way through: receiver, intake, exporters.

use std::{net::SocketAddr, sync::Arc};

use futures_util::future::join_all;
use weir_otel_receiver::{Receiver, Running};
use weir_runtime::stop::Deadline;

use super::StartError;
use crate::{
    exporter::{self, Exporter},
    fanout::Output,
    flow_export,
    otlp_intake::{OtlpIntake, ReceiverMeter},
    otlp_metrics::OtlpMetrics,
    scripts::Scripts,
    self_metrics::SelfMetrics,
    span_metrics::SpanMetrics,
    subscription::Subscribers,
};

/// Where OTLP and flows are sent to.
pub(super) struct Exporters {
    all: Vec<Arc<Exporter>>,
    flows: Vec<Arc<dyn Output>>,
}

impl Exporters {
    /// Start all of them.
    pub(super) fn start(
        configured: Vec<(String, exporter::Config)>,
        metrics: &SelfMetrics,
    ) -> Result<Self, StartError> {
        let (mut all, mut wanted) = (Vec::new(), Vec::new());
        for (name, config) in configured {
            wanted.push(config.flows.clone());
            all.push(Arc::new(Exporter::start(&name, config, metrics)?));
        }
        let outputs = all.iter().zip(wanted).map(|(exporter, wanted)| {
            wanted.map_or_else(Vec::new, |flows| {
                flow_export::outputs(&flows, exporter, metrics)
            })
        });
        let flows = outputs.flatten().collect();
        Ok(Self { all, flows })
    }

    /// The outputs that hand flows to them.
    pub(super) fn flows(&self) -> &[Arc<dyn Output>] {
        &self.flows
    }

    /// After everything was handed to them. Whether nothing was cut off.
    pub(super) async fn stop(self, deadline: &Deadline) -> bool {
        // All at once: one whose endpoint is away takes all the time there is.
        let stops = self.all.iter().map(|exporter| exporter.stop(deadline));
        join_all(stops).await.into_iter().all(|complete| complete)
    }
}

/// The receiver, what it hands batches to, and the exporters behind.
pub(super) struct Otlp {
    receiver: Option<Running>,
    intake: Arc<OtlpIntake>,
    exporters: Exporters,
}

impl Otlp {
    /// Take OTLP and hand it to `exporters`.
    pub(super) async fn start(
        receiver: Option<weir_otel_receiver::Config>,
        scripts: &Arc<Scripts>,
        exporters: Exporters,
        series: Option<Arc<OtlpMetrics>>,
        spans: Option<Arc<SpanMetrics>>,
        subscribers: &Arc<Subscribers>,
        metrics: &Arc<SelfMetrics>,
    ) -> Result<Self, StartError> {
        let intake = Arc::new(OtlpIntake::new(
            Arc::clone(scripts),
            exporters.all.clone(),
            series,
            spans,
            Arc::clone(subscribers),
            metrics,
        ));
        let receiver = match receiver {
            Some(config) => {
                let consumer = Arc::<OtlpIntake>::clone(&intake);
                let meter = Arc::new(ReceiverMeter::new(Arc::clone(metrics)));
                Some(Receiver::start(config, consumer, meter).await?)
            }
            None => None,
        };
        Ok(Self {
            receiver,
            intake,
            exporters,
        })
    }

    /// Where OTLP is taken, over gRPC and over HTTP.
    pub(super) fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        self.receiver
            .as_ref()
            .map_or((None, None), |running| (running.grpc, running.http))
    }

    /// Where others bring OTLP.
    pub(super) fn door(&self) -> Arc<OtlpIntake> {
        Arc::clone(&self.intake)
    }

    /// Receive nothing any more.
    pub(super) async fn stop_receiver(&mut self, deadline: &Deadline) {
        if let Some(receiver) = self.receiver.take() {
            receiver.stop(deadline).await;
        }
    }

    /// Take nothing any more from anybody. Gives back the exporters, which still have to stop.
    pub(super) fn close(self) -> Exporters {
        self.intake.close();
        self.exporters
    }
}
