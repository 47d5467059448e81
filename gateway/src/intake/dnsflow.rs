//! DNS queries of one name, type and outcome.

use weir_proto::flow::v1::Dnsflow;

use super::event::{Fields, Malformed, OwnTags, Row};

const FIELDS: usize = 6;
/// No answer within the timeout.
const NO_ANSWER: i32 = -1;
/// A response code has twelve bits, eight of them with EDNS (RFC 6891, 6.1.3).
const LARGEST_RCODE: i32 = 0xfff;

/// In the order of the keys.
pub(super) fn row(dnsflow: Dnsflow) -> Result<Row, Malformed> {
    if !(NO_ANSWER..=LARGEST_RCODE).contains(&dnsflow.rcode) {
        return Err(Malformed::Number);
    }
    if dnsflow.rcode == NO_ANSWER && dnsflow.latency.is_some() {
        return Err(Malformed::Latency);
    }
    let mut fields = Fields::with_capacity(FIELDS);
    fields.count("count", dnsflow.count)?;
    fields.latency(dnsflow.latency.as_ref(), dnsflow.count)?;
    fields.set("rcode", i64::from(dnsflow.rcode));

    let mut tags = OwnTags::default();
    match dnsflow.query_name {
        // Without its last dot the name of the root would be none.
        root if root.is_empty() => tags.word("query_name", "."),
        name => tags.domain("query_name", name)?,
    }
    tags.text("query_type", dnsflow.query_type)?;
    Ok(Row {
        name: "dnsflow",
        tags,
        fields,
    })
}
