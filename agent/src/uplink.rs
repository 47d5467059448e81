//! The uplink: numbered batches over one stream to the gateway, each kept until it is acknowledged.

mod queue;
mod session;
mod settings;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tonic::transport::{Endpoint, Uri};
use weir_runtime::backoff::Backoff;

use self::session::{End, Session, SessionError};
pub use self::{
    queue::{Queue, Tally},
    settings::{Asked, Settings, Told, settings},
};
use crate::{error_chain, host::Identity, status::Status};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A dead peer is noticed after the sum of both.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_MOST: Duration = Duration::from_secs(10);

/// Sends what the queue holds, over as many connections as it takes.
pub struct Uplink {
    gateway: watch::Receiver<Gateway>,
    identity: Identity,
    queue: Arc<Queue>,
    status: Arc<Status>,
    asked: Asked,
}

/// Where to send to, and what to say of this host.
#[derive(Clone, Debug)]
pub struct Gateway {
    endpoint: Endpoint,
    address: String,
    labels: Vec<(String, String)>,
}

/// The gateway's address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("gateway address `{address}` is not HOST:PORT")]
pub struct AddressError {
    address: String,
    #[source]
    source: tonic::codegen::http::uri::InvalidUri,
}

impl Gateway {
    /// The gateway at `address` (`HOST:PORT`), to which this host is described by `labels`.
    ///
    /// # Errors
    /// If `address` is not of that form.
    pub fn new(address: &str, labels: &[(String, String)]) -> Result<Self, AddressError> {
        let uri: Uri = format!("http://{address}")
            .parse()
            .map_err(|source| AddressError {
                address: address.to_owned(),
                source,
            })?;
        let endpoint = Endpoint::from(uri)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_EVERY)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(Self {
            endpoint,
            address: address.to_owned(),
            labels: labels.to_vec(),
        })
    }
}

impl Uplink {
    /// An uplink to whatever gateway `gateway` has last; nothing is sent yet. Settings that a gateway has for this agent
    /// are told to whoever has the other end of `asked`.
    #[must_use]
    pub fn new(
        gateway: watch::Receiver<Gateway>,
        identity: Identity,
        queue: Arc<Queue>,
        status: Arc<Status>,
        asked: Asked,
    ) -> Self {
        Self {
            gateway,
            identity,
            queue,
            status,
            asked,
        }
    }

    /// Runs until the queue is closed and everything in it is acknowledged.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MOST);
        let mut failures = 0_u64;
        loop {
            let gateway = self.gateway.borrow_and_update().clone();
            let mut changes = self.gateway.clone();
            let opened = tokio::select! {
                opened = self.connect(&gateway) => opened,
                () = another(&mut changes) => continue,
            };
            let error = match opened {
                Ok(session) => {
                    tracing::info!(gateway = gateway.address, failures, "gateway connected");
                    failures = 0;
                    backoff.reset();
                    match session.run(&mut self.gateway).await {
                        Ok(End::Drained) => return,
                        Ok(End::Moved) => {
                            tracing::info!(gateway = gateway.address, "gateway left");
                            continue;
                        }
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            if self.queue.is_drained() {
                return;
            }
            self.report(&gateway, &error, failures);
            failures += 1;
            tokio::select! {
                () = tokio::time::sleep(backoff.next_delay()) => {}
                () = another(&mut changes) => {}
            }
        }
    }

    async fn connect(&self, gateway: &Gateway) -> Result<Session, SessionError> {
        Session::open(
            gateway,
            &self.identity,
            Arc::clone(&self.queue),
            Arc::clone(&self.status),
            self.asked.clone(),
        )
        .await
    }

    /// The first failure is news; the ones after it are the same news.
    fn report(&self, gateway: &Gateway, error: &SessionError, failures: u64) {
        let (cause, kept) = (error_chain(error), self.queue.tally().queued_rows);
        let gateway = &gateway.address;
        if failures == 0 {
            tracing::warn!(
                gateway,
                cause,
                rows_kept = kept,
                "gateway away, trying again"
            );
        } else {
            tracing::debug!(
                gateway,
                cause,
                rows_kept = kept,
                failures,
                "gateway still away"
            );
        }
    }
}

/// Waits until there is another gateway; for ever, if nobody can say so any more.
async fn another(gateway: &mut watch::Receiver<Gateway>) {
    if gateway.changed().await.is_err() {
        std::future::pending().await
    }
}
