//! HTTP requests of one method, path and outcome.

use weir_proto::flow::v1::Httpflow;

use super::event::{Fields, Malformed, OwnTags, Row};

const FIELDS: usize = 10;
/// A status code has three digits (RFC 9110, 15); 0 is for no answer.
const LARGEST_STATUS: u32 = 999;

/// In the order of the keys.
pub(super) fn row(httpflow: Httpflow) -> Result<Row, Malformed> {
    check(&httpflow)?;
    let mut fields = Fields::with_capacity(FIELDS);
    fields.count("bytes_read", httpflow.bytes_read)?;
    fields.count("bytes_written", httpflow.bytes_written)?;
    fields.count("count", httpflow.count)?;
    if let Some(status) = httpflow.grpc_status {
        fields.set("grpc_status", i64::from(status));
    }
    fields.latency(httpflow.latency.as_ref(), httpflow.count)?;
    fields.set("status_code", i64::from(httpflow.status_code));
    fields.set("truncated", httpflow.truncated);

    let mut tags = OwnTags::default();
    tags.text("http_version", httpflow.http_version)?;
    tags.text("method", httpflow.method)?;
    tags.text("path", httpflow.path)?;
    match httpflow.reason {
        _ if httpflow.status_code != 0 => {}
        // What has no answer is counted by reason.
        none if none.is_empty() => tags.word("reason", "other"),
        reason => tags.text("reason", reason)?,
    }
    tags.text("route", httpflow.route)?;
    tags.word("tls", if httpflow.tls { "true" } else { "false" });
    Ok(Row {
        name: "httpflow",
        tags,
        fields,
    })
}

/// Whether codes and times can be those of requests.
pub(crate) fn check(httpflow: &Httpflow) -> Result<(), Malformed> {
    if httpflow.status_code > LARGEST_STATUS {
        return Err(Malformed::Number);
    }
    if httpflow.status_code == 0 && httpflow.latency.is_some() {
        return Err(Malformed::Latency);
    }
    Ok(())
}
