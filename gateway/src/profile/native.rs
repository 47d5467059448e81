//! The profile that keeps weir's own names: every tag and every field as the data set calls it, in
//! the data set's units.

use super::{Attribute, Combine, Counter, DataSet, Form, Gauge, Group, Profile, Scope};

/// The names of the data sets.
pub static NATIVE: Profile = Profile {
    name: "native",
    schema_url: "",
    data_sets: &[NETFLOW],
};

const NETFLOW: DataSet = DataSet {
    point: "netflow",
    event: "weir.flow.netflow",
    attributes: &[
        attribute("host", Scope::Resource),
        attribute("source", Scope::Series),
        attribute("src_ip", Scope::Series),
        attribute("src_port", Scope::Series),
        attribute("src_ip_type", Scope::Series),
        attribute("dst_ip", Scope::Series),
        attribute("dst_port", Scope::Series),
        attribute("dst_ip_type", Scope::Series),
        attribute("transport", Scope::Series),
        attribute("family", Scope::Series),
        attribute("direction", Scope::Series),
        attribute("process_name", Scope::Series),
        attribute("container_id", Scope::Series),
        attribute("dst_nat_ip", Scope::Series),
        attribute("dst_nat_port", Scope::Series),
        attribute("sub_source", Scope::Series),
        attribute("pid", Scope::Record),
        attribute("direction_source", Scope::Record),
        attribute("netns", Scope::Record),
    ],
    groups: &[FLOW, FAILURE],
};

const BYTES: &str = "By";
const MICROSECONDS: &str = "us";
const CONNECTION: &str = "{connection}";

const FLOW: Group = Group {
    name: "flow",
    split_by: None,
    counters: &[
        counter(
            "netflow.bytes_read",
            "bytes_read",
            BYTES,
            "Payload bytes delivered to the application.",
        ),
        counter(
            "netflow.bytes_written",
            "bytes_written",
            BYTES,
            "Payload bytes accepted from the application.",
        ),
        counter(
            "netflow.packets_read",
            "packets_read",
            "{packet}",
            "TCP segments or UDP datagrams received.",
        ),
        counter(
            "netflow.packets_written",
            "packets_written",
            "{packet}",
            "TCP segments or UDP datagrams sent.",
        ),
        counter(
            "netflow.retransmits",
            "retransmits",
            "{segment}",
            "TCP segments sent again.",
        ),
        counter(
            "netflow.tcp_established",
            "tcp_established",
            CONNECTION,
            "TCP connections that reached the established state.",
        ),
        counter(
            "netflow.tcp_closed",
            "tcp_closed",
            CONNECTION,
            "TCP connections that left the established state.",
        ),
        counter(
            "netflow.tcp_reset",
            "tcp_reset",
            CONNECTION,
            "Established TCP connections that ended by a reset.",
        ),
    ],
    gauges: &[
        gauge(
            ("netflow.rtt", "rtt", MICROSECONDS),
            Combine::Mean(&["bytes_read", "bytes_written"]),
            "Smoothed TCP round-trip time, byte-weighted over connections.",
        ),
        gauge(
            ("netflow.rtt_var", "rtt_var", MICROSECONDS),
            Combine::Mean(&["bytes_read", "bytes_written"]),
            "Mean deviation of the TCP round-trip time, byte-weighted over connections.",
        ),
        gauge(
            ("netflow.connect_latency", "connect_latency", MICROSECONDS),
            Combine::Mean(&["tcp_established"]),
            "Mean time from SYN to established in the latest period with a connect.",
        ),
        gauge(
            (
                "netflow.connect_latency_max",
                "connect_latency_max",
                MICROSECONDS,
            ),
            Combine::Max,
            "Longest time from SYN to established in the latest period with a connect.",
        ),
        gauge(
            ("netflow.connections", "connections", CONNECTION),
            Combine::Sum,
            "TCP connections live at the end of the latest period.",
        ),
    ],
};

/// Apart from the rest, so that a reason does not split every other metric.
const FAILURE: Group = Group {
    name: "failure",
    split_by: Some(attribute("reason", Scope::Series)),
    counters: &[counter(
        "netflow.tcp_failed",
        "tcp_failed",
        CONNECTION,
        "TCP connects that never reached the established state.",
    )],
    gauges: &[],
};

const fn attribute(tag: &'static str, scope: Scope) -> Attribute {
    Attribute {
        tag,
        name: tag,
        form: Form::Text,
        scope,
    }
}

const fn counter(
    name: &'static str,
    field: &'static str,
    unit: &'static str,
    help: &'static str,
) -> Counter {
    Counter {
        field,
        name,
        unit,
        help,
        attribute: None,
        record: field,
    }
}

const fn gauge(
    (name, field, unit): (&'static str, &'static str, &'static str),
    combine: Combine,
    help: &'static str,
) -> Gauge {
    Gauge {
        field,
        name,
        unit,
        help,
        divisor: 1.0,
        combine,
        record: field,
    }
}
