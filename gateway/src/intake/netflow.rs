//! What a flow moved.

use weir_proto::flow::v1::Netflow;

use super::event::{Fields, Malformed, OwnTags, Row};

const FIELDS: usize = 14;

/// In the order of the keys. What TCP alone has is left out for UDP, where the wire
/// cannot tell "none" from "does not apply".
pub(super) fn row(netflow: Netflow, is_tcp: bool) -> Result<Row, Malformed> {
    let mut fields = Fields::with_capacity(FIELDS);
    fields.count("bytes_read", netflow.bytes_read)?;
    fields.count("bytes_written", netflow.bytes_written)?;
    if is_tcp {
        fields.time("connect_latency", netflow.connect_latency_us)?;
        fields.time("connect_latency_max", netflow.connect_latency_max_us)?;
        fields.count("connections", netflow.connections)?;
    }
    fields.count("packets_read", netflow.packets_read)?;
    fields.count("packets_written", netflow.packets_written)?;
    if is_tcp {
        fields.count("retransmits", netflow.retransmits)?;
        fields.time("rtt", netflow.rtt_us)?;
        fields.time("rtt_var", netflow.rtt_var_us)?;
        fields.count("tcp_closed", netflow.tcp_closed)?;
        fields.count("tcp_established", netflow.tcp_established)?;
        fields.count("tcp_failed", netflow.tcp_failed)?;
        fields.count("tcp_reset", netflow.tcp_reset)?;
    }
    let mut tags = OwnTags::default();
    match netflow.reason {
        _ if netflow.tcp_failed == 0 => {}
        // Failures are counted by reason, so one without still needs one.
        none if none.is_empty() => tags.word("reason", "other"),
        reason => tags.text("reason", reason)?,
    }
    Ok(Row {
        name: "netflow",
        tags,
        fields,
    })
}
