//! Wiring of OTLP on its way through: receiver, intake, exporters.

use std::{net::SocketAddr, sync::Arc};

use futures_util::future::join_all;
use weir_otel_receiver::{Receiver, Running};
use weir_runtime::stop::Deadline;

use super::StartError;
use crate::{
    exporter::{self, Exporter},
    otlp_intake::{OtlpIntake, ReceiverMeter},
    otlp_metrics::OtlpMetrics,
    self_metrics::SelfMetrics,
    subscription::Subscribers,
};

/// The receiver, what it hands batches to, and the exporters behind.
pub(super) struct Otlp {
    receiver: Option<Running>,
    intake: Arc<OtlpIntake>,
    exporters: Vec<Arc<Exporter>>,
}

impl Otlp {
    /// Exporters first, so that there is somewhere to go for what comes in.
    pub(super) async fn start(
        receiver: Option<weir_otel_receiver::Config>,
        exporters: Vec<(String, exporter::Config)>,
        series: Option<Arc<OtlpMetrics>>,
        subscribers: &Arc<Subscribers>,
        metrics: &Arc<SelfMetrics>,
    ) -> Result<Self, StartError> {
        let exporters = exporters
            .into_iter()
            .map(|(name, config)| Exporter::start(&name, config, metrics).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        let intake = Arc::new(OtlpIntake::new(
            exporters.clone(),
            series,
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

    /// In the order the data flows. Whether nothing was cut off.
    pub(super) async fn stop(self, deadline: &Deadline) -> bool {
        if let Some(receiver) = self.receiver {
            receiver.stop(deadline).await;
        }
        self.intake.close();
        // All at once: one whose endpoint is away takes all the time there is.
        let stops = self
            .exporters
            .iter()
            .map(|exporter| exporter.stop(deadline));
        join_all(stops).await.into_iter().all(|complete| complete)
    }
}
