//! Watches one request from its headers to its answer.

use std::{sync::Arc, time::Instant};

use http::StatusCode;
use tonic::Code;
use weir_point::otlp::Signal;

use crate::meter::{Cause, Exchange, Meter, Outcome, Transport};

/// What nginx counts for a client that went away.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Reports to the meter when dropped, which is also what happens to a request whose client goes away.
pub(crate) struct Watch {
    meter: Arc<dyn Meter>,
    since: Instant,
    pub(crate) exchange: Exchange,
}

impl Watch {
    pub(crate) fn start(meter: &Arc<dyn Meter>, transport: Transport) -> Self {
        Self {
            meter: Arc::clone(meter),
            since: Instant::now(),
            exchange: Exchange {
                transport,
                signal: None,
                outcome: Outcome::Refused(Cause::ClientGone),
                status: match transport {
                    Transport::Grpc => code(Code::Cancelled),
                    Transport::Http => CLIENT_CLOSED_REQUEST,
                },
                wire_bytes: 0,
                batch_bytes: 0,
                items: 0,
                rejected: 0,
                took: std::time::Duration::ZERO,
            },
        }
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        self.exchange.signal = Some(signal);
    }

    pub(crate) fn answered_http(mut self, outcome: Outcome, status: StatusCode) {
        self.exchange.outcome = outcome;
        self.exchange.status = status.as_u16();
    }

    pub(crate) fn answered_grpc(mut self, outcome: Outcome, status: Code) {
        self.exchange.outcome = outcome;
        self.exchange.status = code(status);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.exchange.took = self.since.elapsed();
        self.meter.exchange(&self.exchange);
    }
}

fn code(code: Code) -> u16 {
    u16::try_from(i32::from(code)).unwrap_or(u16::MAX)
}
