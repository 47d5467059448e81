//! What an endpoint answered, and whether the OTLP specification lets the request be sent again.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What became of one attempt to send.
#[derive(Debug)]
pub(super) enum Answer {
    /// The endpoint has it.
    Accepted(Partial),
    /// It may take it later; maybe it said when.
    Later {
        after: Option<Duration>,
        failure: Failure,
    },
    /// It will never take it.
    Refused(Failure),
}

/// What the endpoint left out of a request, and what it had to say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Partial {
    pub(super) rejected: u64,
    pub(super) message: String,
}

/// Why a request was not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the endpoint answered {code:?}: {message}")]
    Grpc { code: Code, message: String },
    #[error("the endpoint answered {status}: {message}")]
    Http { status: StatusCode, message: String },
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the endpoint cannot be reached")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    #[error("the answer broke off")]
    BrokenOff(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Of what an endpoint says, this much is repeated in the log.
const LONGEST_MESSAGE: usize = 300;
/// Of gRPC answers, the flag and the length before the message.
const GRPC_FRAME: usize = 5;

/// What a gRPC answer means.
pub(super) fn grpc(
    status: StatusCode,
    headers: &HeaderMap,
    body: &Bytes,
    trailers: Option<&HeaderMap>,
) -> Answer {
    let status = trailers
        .and_then(Status::from_header_map)
        .or_else(|| Status::from_header_map(headers))
        .unwrap_or_else(|| {
            Status::new(
                code_of(status),
                format!("HTTP status {status} without a gRPC status"),
            )
        });
    if status.code() == Code::Ok {
        return Answer::Accepted(partial(body.get(GRPC_FRAME..).unwrap_or_default()));
    }
    let after = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    let may_pass = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        // The server says when it has room again, or it has none for this at all.
        Code::ResourceExhausted => after.is_some(),
        _ => false,
    };
    let failure = Failure::Grpc {
        code: status.code(),
        message: shortened(status.message()),
    };
    if may_pass {
        Answer::Later { after, failure }
    } else {
        Answer::Refused(failure)
    }
}

/// What the gRPC specification makes of a proxy's answer.
fn code_of(status: StatusCode) -> Code {
    match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// What an HTTP answer means.
pub(super) fn http(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Answer {
    let is_protobuf = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-protobuf"));
    if status.is_success() {
        let message: &[u8] = if is_protobuf { body } else { &[] };
        return Answer::Accepted(partial(message));
    }
    let message = is_protobuf
        .then(|| tonic_types::Status::decode(&**body).ok())
        .flatten()
        .map_or_else(
            || String::from_utf8_lossy(body).into_owned(),
            |status| status.message,
        );
    let failure = Failure::Http {
        status,
        message: shortened(&message),
    };
    match status.as_u16() {
        429 | 502 | 503 | 504 => Answer::Later {
            after: headers
                .get(header::RETRY_AFTER)
                .and_then(|value| retry_after(value.to_str().ok()?)),
            failure,
        },
        _ => Answer::Refused(failure),
    }
}

/// Seconds or a date.
fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

/// The answers of the three signals have the same fields. One that cannot be read is no
/// reason to send the request again: it was accepted.
fn partial(message: &[u8]) -> Partial {
    let response = ExportMetricsServiceResponse::decode(message).unwrap_or_default();
    let partial = response.partial_success.unwrap_or_default();
    Partial {
        rejected: u64::try_from(partial.rejected_data_points).unwrap_or(0),
        message: shortened(&partial.error_message),
    }
}

/// The start of a text, on one line.
fn shortened(text: &str) -> String {
    text.chars()
        .take(LONGEST_MESSAGE)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
