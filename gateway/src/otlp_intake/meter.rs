//! What the receiver tells about its requests, as metrics.

use std::sync::Arc;

use weir_otel_receiver::{Certificates, ConnectionEvent, Exchange, Meter, Outcome, Transport};
use weir_point::otlp::Signal;

use crate::self_metrics::{
    RECEIVER_BATCH_BYTES, RECEIVER_CERTIFICATES, RECEIVER_CONNECTIONS, RECEIVER_ITEMS,
    RECEIVER_REJECTED, RECEIVER_REQUESTS, RECEIVER_SECONDS, RECEIVER_WIRE_BYTES, SelfMetrics,
};

/// Counts requests and connections of the OTLP receiver.
///
/// Every label has a bounded set of values: transports, signals, results and the status codes that the receiver
/// itself answers with.
#[derive(Debug)]
pub struct ReceiverMeter {
    metrics: Arc<SelfMetrics>,
}

impl ReceiverMeter {
    /// Counts into `metrics`.
    pub fn new(metrics: Arc<SelfMetrics>) -> Self {
        Self { metrics }
    }
}

impl Meter for ReceiverMeter {
    fn exchange(&self, exchange: &Exchange) {
        let transport = exchange.transport.name();
        let signal = exchange.signal.map_or("none", Signal::name);
        let (result, status) = (exchange.outcome.name(), exchange.status.to_string());
        let count = |metric, amount: u64| {
            self.metrics
                .counter(metric, &[transport, signal])
                .increment(amount);
        };
        self.metrics
            .counter(&RECEIVER_REQUESTS, &[transport, signal, result, &status])
            .increment(1);
        self.metrics
            .histogram(&RECEIVER_SECONDS, &[transport, signal])
            .record(exchange.took.as_secs_f64());
        count(&RECEIVER_WIRE_BYTES, exchange.wire_bytes);
        count(&RECEIVER_BATCH_BYTES, exchange.batch_bytes);
        if matches!(exchange.outcome, Outcome::Accepted | Outcome::Partial) {
            let taken = exchange.items - exchange.rejected;
            count(&RECEIVER_ITEMS, taken as u64);
            count(&RECEIVER_REJECTED, exchange.rejected as u64);
        }
    }

    fn connection(&self, transport: Transport, event: ConnectionEvent) {
        self.metrics
            .counter(&RECEIVER_CONNECTIONS, &[transport.name(), event.name()])
            .increment(1);
    }

    fn certificates(&self, transport: Transport, event: Certificates) {
        self.metrics
            .counter(&RECEIVER_CERTIFICATES, &[transport.name(), event.name()])
            .increment(1);
    }
}
