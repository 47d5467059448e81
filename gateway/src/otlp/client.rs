//! Sending one request until it is accepted or refused for good, as the OTLP
//! specification says.

use std::{error::Error as _, time::Duration};

use metrics::Counter;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    metrics_service_client::MetricsServiceClient,
};
use tokio::time::sleep;
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;
use tracing::{info, warn};
use weir_runtime::backoff::Backoff;

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// A server may ask for patience, but not for ever.
const LONGEST_ASKED_DELAY: Duration = Duration::from_secs(60);
const KEEPALIVE: Duration = Duration::from_secs(20);

/// The endpoint of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// It is not a URL.
    #[error("{endpoint:?} is not a URL")]
    Invalid {
        /// What was configured.
        endpoint: String,
        /// What is wrong with it.
        source: tonic::transport::Error,
    },
    /// It is one that this version does not speak.
    #[error("{endpoint:?} is not of the form http://HOST:PORT")]
    Scheme {
        /// What was configured.
        endpoint: String,
    },
}

/// What became of a request.
pub(super) enum Outcome {
    /// The endpoint has it, without `rejected` of its data points.
    Accepted { rejected: u64, message: String },
    /// The endpoint will never take it.
    Refused(Status),
}

pub(super) struct Client {
    client: MetricsServiceClient<Channel>,
    timeout: Duration,
    backoff: Backoff,
}

/// The endpoint at `url`, e.g. `http://127.0.0.1:4317`.
///
/// # Errors
/// It is not a URL, or not one of plain HTTP.
pub fn endpoint(url: &str) -> Result<Endpoint, EndpointError> {
    let subject = || url.to_owned();
    let endpoint = Endpoint::from_shared(subject()).map_err(|source| EndpointError::Invalid {
        endpoint: subject(),
        source,
    })?;
    let uri = endpoint.uri();
    if uri.scheme_str() != Some("http") || uri.host().is_none() {
        return Err(EndpointError::Scheme {
            endpoint: subject(),
        });
    }
    Ok(endpoint)
}

impl Client {
    /// Connects when it first has something to send.
    pub(super) fn new(endpoint: &Endpoint, timeout: Duration) -> Self {
        let channel = endpoint
            .clone()
            .connect_timeout(timeout)
            .http2_keep_alive_interval(KEEPALIVE)
            .connect_lazy();
        Self {
            client: MetricsServiceClient::new(channel),
            timeout,
            backoff: Backoff::new(FIRST_DELAY, LONGEST_DELAY),
        }
    }

    /// Send `message`, as often as it takes; `retried` counts the attempts in vain.
    pub(super) async fn export(
        &mut self,
        message: ExportMetricsServiceRequest,
        retried: &Counter,
    ) -> Outcome {
        let mut failures = 0_u64;
        loop {
            let mut request = Request::new(message.clone());
            request.set_timeout(self.timeout);
            // The header asks the server to give up in time; this does not trust it to.
            let answer = tokio::time::timeout(self.timeout, self.client.export(request))
                .await
                .unwrap_or_else(|_elapsed| Err(Status::deadline_exceeded("no answer in time")));
            let status = match answer {
                Ok(response) => {
                    self.backoff.reset();
                    if failures > 0 {
                        info!(failures, "OTLP endpoint answers again");
                    }
                    return accepted(response.into_inner());
                }
                Err(status) if !is_worth_another_try(&status) => return Outcome::Refused(status),
                Err(status) => status,
            };
            if failures == 0 {
                warn!(
                    code = ?status.code(),
                    "OTLP endpoint does not take data, trying again: {}",
                    status.message()
                );
            }
            failures += 1;
            retried.increment(1);
            sleep(self.delay(&status)).await;
        }
    }

    fn delay(&mut self, status: &Status) -> Duration {
        let own = self.backoff.next_delay();
        match asked_delay(status) {
            Some(asked) => asked.min(LONGEST_ASKED_DELAY).max(own),
            None => own,
        }
    }
}

fn accepted(response: ExportMetricsServiceResponse) -> Outcome {
    let partial = response.partial_success.unwrap_or_default();
    Outcome::Accepted {
        rejected: u64::try_from(partial.rejected_data_points).unwrap_or(0),
        message: partial.error_message,
    }
}

fn is_worth_another_try(status: &Status) -> bool {
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        // The server says when it has room again, or it has none for this at all.
        Code::ResourceExhausted => asked_delay(status).is_some(),
        // Not a server's answer but a connection that broke.
        Code::Unknown | Code::Internal => status.source().is_some(),
        _ => false,
    }
}

fn asked_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn only_what_may_pass_later_is_tried_again() {
        for code in (0..=16).map(Code::from_i32) {
            let wanted = matches!(
                code,
                Code::Cancelled
                    | Code::DeadlineExceeded
                    | Code::Aborted
                    | Code::OutOfRange
                    | Code::Unavailable
                    | Code::DataLoss
            );
            let status = Status::new(code, "from the server");
            assert_eq!(is_worth_another_try(&status), wanted, "{code:?}");
        }
    }

    #[tokio::test]
    async fn a_full_server_is_asked_again_when_it_said_when() {
        let mut details = ErrorDetails::new();
        details.set_retry_info(Some(Duration::from_secs(3)));
        let status = Status::with_error_details(Code::ResourceExhausted, "full", details);
        assert!(is_worth_another_try(&status));
        let mut client = Client::new(&Endpoint::from_static("http://127.0.0.1:1"), KEEPALIVE);
        assert!(client.delay(&status) >= Duration::from_secs(3));
    }

    #[test]
    fn an_endpoint_that_cannot_be_used_is_named() {
        for url in [
            "localhost:4317",
            "https://localhost:4317",
            "ftp://x",
            "not a url",
            "",
        ] {
            let error = endpoint(url).expect_err("refused");
            assert!(error.to_string().contains(&format!("{url:?}")), "{error}");
        }
    }
}
