//! What both transports do with a request: let it in, and hand its batch on.

use std::{hint::black_box, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, header::AUTHORIZATION};
use weir_point::otlp::{OtlpBatch, Signal};

use crate::{
    budget::{Budget, Charge},
    config::Token,
    consumer::{Consumer, Taken},
    exchange::Watch,
    http::Cors,
    meter::{Meter, Transport},
    refusal::Refusal,
};

/// What all connections share.
pub(crate) struct Intake {
    pub(crate) consumer: Arc<dyn Consumer>,
    pub(crate) meter: Arc<dyn Meter>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) token: Option<Token>,
    pub(crate) cors: Cors,
    pub(crate) limits: Limits,
}

/// What one request may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of a message, decompressed.
    pub(crate) message: usize,
    /// For the body to come.
    pub(crate) time: Duration,
}

impl Intake {
    pub(crate) fn watch(&self, transport: Transport) -> Watch {
        Watch::start(&self.meter, transport)
    }

    pub(crate) fn charge(&self) -> Charge {
        self.budget.charge()
    }

    /// Whether the client has the token.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        let given = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, given) = value.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(given)
        });
        match given {
            Some(given) if same(given, token.bytes()) => Ok(()),
            _ => Err(Refusal::Token),
        }
    }

    /// Checks a message and hands it on.
    pub(crate) fn take(
        &self,
        signal: Signal,
        message: Vec<u8>,
        watch: &mut Watch,
    ) -> Result<Taken, Refusal> {
        let batch = OtlpBatch::check(signal, Bytes::from(message))?;
        watch.exchange.items = batch.items();
        watch.exchange.batch_bytes = batch.bytes().len() as u64;
        let taken = self.consumer.consume(batch)?;
        let rejected = usize::try_from(taken.rejected).unwrap_or(usize::MAX);
        watch.exchange.rejected = rejected.min(watch.exchange.items);
        Ok(taken)
    }
}

/// Takes as long whatever the bytes are, so that time does not tell how far a guess was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && black_box(differences) == 0
}
