//! The uplink: numbered batches over one stream to the gateway, each kept until it is acknowledged.

mod queue;
mod session;

use std::{sync::Arc, time::Duration};

use tonic::transport::{Endpoint, Uri};
use weir_runtime::backoff::Backoff;

pub use self::queue::{Queue, Tally};
use self::session::{End, Session, SessionError};
use crate::{error_chain, host::Identity, status::Status};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A dead peer is noticed after the sum of both.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_MOST: Duration = Duration::from_secs(10);

/// Sends what the queue holds, over as many connections as it takes.
pub struct Uplink {
    endpoint: Endpoint,
    address: String,
    identity: Identity,
    queue: Arc<Queue>,
    status: Arc<Status>,
}

/// The gateway's address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("gateway address `{address}` is not HOST:PORT")]
pub struct AddressError {
    address: String,
    #[source]
    source: tonic::codegen::http::uri::InvalidUri,
}

impl Uplink {
    /// An uplink to the gateway at `address` (`HOST:PORT`); nothing is sent yet.
    ///
    /// # Errors
    /// If `address` is not of that form.
    pub fn new(
        address: &str,
        identity: Identity,
        queue: Arc<Queue>,
        status: Arc<Status>,
    ) -> Result<Self, AddressError> {
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
            identity,
            queue,
            status,
        })
    }

    /// Runs until the queue is closed and everything in it is acknowledged.
    pub async fn run(self) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MOST);
        let mut failures = 0_u64;
        loop {
            let error = match self.connect().await {
                Ok(session) => {
                    tracing::info!(gateway = self.address, failures, "gateway connected");
                    failures = 0;
                    backoff.reset();
                    match session.run().await {
                        Ok(End::Drained) => return,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            if self.queue.is_drained() {
                return;
            }
            self.report(&error, failures);
            failures += 1;
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn connect(&self) -> Result<Session, SessionError> {
        Session::open(
            &self.endpoint,
            &self.identity,
            Arc::clone(&self.queue),
            Arc::clone(&self.status),
        )
        .await
    }

    /// The first failure is news; the ones after it are the same news.
    fn report(&self, error: &SessionError, failures: u64) {
        let (cause, kept) = (error_chain(error), self.queue.tally().queued_rows);
        if failures == 0 {
            tracing::warn!(
                gateway = self.address,
                cause,
                rows_kept = kept,
                "gateway away, trying again"
            );
        } else {
            tracing::debug!(
                gateway = self.address,
                cause,
                rows_kept = kept,
                failures,
                "gateway still away"
            );
        }
    }
}
