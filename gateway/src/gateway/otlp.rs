//! Wiring of OTLP on its way in.

use std::{net::SocketAddr, sync::Arc};

use weir_otel_receiver::{Receiver, Running};
use weir_runtime::stop::Deadline;

use super::StartError;
use crate::{
    otlp_intake::{OtlpIntake, ReceiverMeter},
    self_metrics::SelfMetrics,
};

/// The receiver, if there is one, and what it hands batches to.
pub(super) struct Otlp {
    receiver: Option<Running>,
    intake: Arc<OtlpIntake>,
}

impl Otlp {
    /// Take OTLP and hand it to `intake`.
    pub(super) async fn start(
        receiver: Option<weir_otel_receiver::Config>,
        intake: &Arc<OtlpIntake>,
        metrics: &Arc<SelfMetrics>,
    ) -> Result<Self, StartError> {
        let receiver = match receiver {
            Some(config) => {
                let consumer = Arc::<OtlpIntake>::clone(intake);
                let meter = Arc::new(ReceiverMeter::new(Arc::clone(metrics)));
                Some(Receiver::start(config, consumer, meter).await?)
            }
            None => None,
        };
        Ok(Self {
            receiver,
            intake: Arc::clone(intake),
        })
    }

    /// Where OTLP is taken, over gRPC and over HTTP.
    pub(super) fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        self.receiver
            .as_ref()
            .map_or((None, None), |running| (running.grpc, running.http))
    }

    /// Receive nothing any more.
    pub(super) async fn stop_receiver(&mut self, deadline: &Deadline) {
        if let Some(receiver) = self.receiver.take() {
            receiver.stop(deadline).await;
        }
    }

    /// Take nothing any more from anybody.
    pub(super) fn close(self) {
        self.intake.close();
    }
}
