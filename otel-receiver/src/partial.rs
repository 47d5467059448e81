//! The answer to a request that was taken in part.

use prost::Message;
use weir_point::otlp::Signal;

use crate::consumer::Taken;

/// `ExportTraceServiceResponse` and its siblings, which have the same field numbers.
#[derive(Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `ExportTracePartialSuccess` and its siblings.
#[derive(Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// As protobuf, in which the three signals are the same; nothing at all if all was taken.
pub(crate) fn protobuf(taken: &Taken) -> Vec<u8> {
    if *taken == Taken::ALL {
        return Vec::new();
    }
    let partial = PartialSuccess {
        rejected: i64::try_from(taken.rejected).unwrap_or(i64::MAX),
        error_message: taken.message.clone().into_owned(),
    };
    let response = Response {
        partial_success: Some(partial),
    };
    response.encode_to_vec()
}

/// As JSON, in which a number of 64 bits is a text.
pub(crate) fn json(signal: Signal, taken: &Taken) -> String {
    if *taken == Taken::ALL {
        return "{}".to_owned();
    }
    let rejected = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    };
    let partial = serde_json::json!({
        "partialSuccess": {
            rejected: taken.rejected.to_string(),
            "errorMessage": taken.message,
        }
    });
    partial.to_string()
}
