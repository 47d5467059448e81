//! Flows under their own names.

use super::{
    BYTES, COMMON, Combine, DataSet, Group, RECORD, SOURCE, SOURCE_PLACE, Scope, attribute,
    counter, destination, destination_place, gauge, remote,
};

pub(super) const NETFLOW: DataSet = DataSet {
    point: "netflow",
    event: "weir.flow.netflow",
    attributes: &[
        SOURCE,
        &destination(Scope::Series),
        COMMON,
        &remote(Scope::Series),
        SOURCE_PLACE,
        &destination_place(Scope::Series),
        RECORD,
    ],
    groups: &[FLOW, FAILURE],
};

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
    histograms: &[],
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
    histograms: &[],
};
