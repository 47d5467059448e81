//! Why a request is refused, and which status says so.

use std::{error::Error, fmt::Write as _, io, time::Duration};

use http::StatusCode;
use tonic::Code;
use weir_point::otlp::WireError;

use crate::{consumer::Refused, meter::Cause};

/// By then some of the requests that hold the memory have ended.
const MEMORY_RETRY: Duration = Duration::from_secs(1);

/// A request that was not taken. The text is for the client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("nothing is here; OTLP is taken at {known}")]
    UnknownPath { known: &'static str },
    #[error("only POST is taken here")]
    Method,
    #[error("the origin is not one that may send from a browser")]
    Origin,
    #[error("{wanted}")]
    ContentType { wanted: &'static str },
    #[error("the compression is none of {known}")]
    Compression { known: &'static str },
    #[error("the bearer token is missing or wrong")]
    Token,
    #[error("larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("not a valid message")]
    Wire(#[from] WireError),
    #[error("not valid OTLP/JSON")]
    Json(#[source] serde_json::Error),
    #[error("not valid {coding}")]
    Compressed {
        coding: &'static str,
        source: io::Error,
    },
    #[error("{0}")]
    Framing(&'static str),
    #[error("the body broke off")]
    Body(#[source] hyper::Error),
    #[error("the body did not come within {limit:?}")]
    TooSlow { limit: Duration },
    #[error("too many requests are under way; try again")]
    Memory,
    #[error("no room at the moment; try again")]
    Full { retry_after: Duration },
    #[error("stopping")]
    Stopping,
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full { retry_after } => Self::Full { retry_after },
            Refused::Stopping => Self::Stopping,
        }
    }
}

impl Refusal {
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::UnknownPath { .. } => Cause::UnknownPath,
            Self::Method | Self::Origin => Cause::Method,
            Self::ContentType { .. } => Cause::ContentType,
            Self::Compression { .. } => Cause::Compression,
            Self::Token => Cause::Token,
            Self::TooLarge { .. } => Cause::TooLarge,
            Self::Wire(_)
            | Self::Json(_)
            | Self::Compressed { .. }
            | Self::Framing(_)
            | Self::Body(_) => Cause::Malformed,
            Self::TooSlow { .. } => Cause::TooSlow,
            Self::Memory => Cause::Memory,
            Self::Full { .. } => Cause::Full,
            Self::Stopping => Cause::Stopping,
        }
    }

    pub(crate) fn http(&self) -> StatusCode {
        match self.cause() {
            Cause::UnknownPath => StatusCode::NOT_FOUND,
            Cause::Method if matches!(self, Self::Origin) => StatusCode::FORBIDDEN,
            Cause::Method => StatusCode::METHOD_NOT_ALLOWED,
            Cause::ContentType | Cause::Compression => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Cause::Token => StatusCode::UNAUTHORIZED,
            Cause::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Cause::Malformed | Cause::ClientGone => StatusCode::BAD_REQUEST,
            Cause::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Cause::Memory | Cause::Full => StatusCode::TOO_MANY_REQUESTS,
            Cause::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) fn grpc(&self) -> Code {
        match self.cause() {
            Cause::UnknownPath | Cause::Method | Cause::ContentType | Cause::Compression => {
                Code::Unimplemented
            }
            Cause::Token => Code::Unauthenticated,
            // Without RetryInfo: OTLP clients drop the batch, as they should.
            Cause::TooLarge | Cause::Memory | Cause::Full => Code::ResourceExhausted,
            Cause::Malformed => Code::InvalidArgument,
            Cause::TooSlow => Code::DeadlineExceeded,
            Cause::Stopping => Code::Unavailable,
            Cause::ClientGone => Code::Cancelled,
        }
    }

    /// When to try again; `None` if the same request will fare no better.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Memory => Some(MEMORY_RETRY),
            Self::Full { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// The text for the client: what is wrong, and what lies behind it.
    pub(crate) fn text(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            // Writing to a String does not fail.
            write!(text, ": {error}").ok();
            source = error.source();
        }
        text
    }

    /// As a `google.rpc.Status`.
    pub(crate) fn status(&self) -> tonic_types::Status {
        let details = self.retry_after().map(retry_info).into_iter().collect();
        tonic_types::Status {
            code: self.grpc().into(),
            message: self.text(),
            details,
        }
    }
}

/// The protobuf type `google.rpc.RetryInfo`, packed as a detail of a status.
pub(crate) const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

fn retry_info(after: Duration) -> prost_types::Any {
    use prost::Message as _;
    let retry_delay = prost_types::Duration::try_from(after).ok();
    prost_types::Any {
        type_url: RETRY_INFO.to_owned(),
        value: tonic_types::pb::RetryInfo { retry_delay }.encode_to_vec(),
    }
}
