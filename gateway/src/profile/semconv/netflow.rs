//! Flows under the default profile.

use super::{
    BYTES, COMMON, Combine, Counter, DataSet, Form, Gauge, Group, RECEIVED, RECORD, SECONDS, SENT,
    SOURCE, SOURCE_PLACE, Scope, attribute, destination, destination_place, domain, translated,
};

pub(super) const NETFLOW: DataSet = DataSet {
    point: "netflow",
    event: "weir.flow.netflow",
    attributes: &[
        SOURCE,
        &destination(Scope::Series),
        COMMON,
        &translated(Scope::Series),
        &[domain(Scope::Series)],
        SOURCE_PLACE,
        &destination_place(Scope::Series),
        RECORD,
    ],
    groups: &[FLOW, FAILURE],
};

const MICROSECONDS_PER_SECOND: f64 = 1e6;

const IO: &str = "weir.network.flow.io";
const IO_HELP: &str = "Payload bytes delivered to and accepted from the application.";
const PACKETS: &str = "weir.network.flow.packets";
const PACKETS_HELP: &str = "TCP segments or UDP datagrams.";

const FLOW: Group = Group {
    name: "flow",
    split_by: None,
    counters: &[
        Counter {
            field: "bytes_read",
            name: IO,
            unit: BYTES,
            help: IO_HELP,
            attribute: RECEIVED,
            record: "weir.network.flow.io.receive",
        },
        Counter {
            field: "bytes_written",
            name: IO,
            unit: BYTES,
            help: IO_HELP,
            attribute: SENT,
            record: "weir.network.flow.io.transmit",
        },
        Counter {
            field: "packets_read",
            name: PACKETS,
            unit: "{packet}",
            help: PACKETS_HELP,
            attribute: RECEIVED,
            record: "weir.network.flow.packets.receive",
        },
        Counter {
            field: "packets_written",
            name: PACKETS,
            unit: "{packet}",
            help: PACKETS_HELP,
            attribute: SENT,
            record: "weir.network.flow.packets.transmit",
        },
        Counter {
            field: "retransmits",
            name: "weir.network.tcp.retransmits",
            unit: "{segment}",
            help: "TCP segments sent again.",
            attribute: None,
            record: "weir.network.tcp.retransmits",
        },
        Counter {
            field: "tcp_established",
            name: "weir.network.tcp.established",
            unit: "{connection}",
            help: "TCP connections that reached the established state.",
            attribute: None,
            record: "weir.network.tcp.established",
        },
        Counter {
            field: "tcp_closed",
            name: "weir.network.tcp.closed",
            unit: "{connection}",
            help: "TCP connections that left the established state.",
            attribute: None,
            record: "weir.network.tcp.closed",
        },
        Counter {
            field: "tcp_reset",
            name: "weir.network.tcp.resets",
            unit: "{connection}",
            help: "Established TCP connections that ended by a reset.",
            attribute: None,
            record: "weir.network.tcp.resets",
        },
    ],
    gauges: &[
        Gauge {
            field: "rtt",
            name: "weir.network.tcp.rtt",
            unit: SECONDS,
            help: "Smoothed TCP round-trip time, byte-weighted over connections.",
            divisor: MICROSECONDS_PER_SECOND,
            combine: Combine::Mean(&["bytes_read", "bytes_written"]),
            record: "weir.network.tcp.rtt",
        },
        Gauge {
            field: "rtt_var",
            name: "weir.network.tcp.rtt_var",
            unit: SECONDS,
            help: "Mean deviation of the TCP round-trip time, byte-weighted over connections.",
            divisor: MICROSECONDS_PER_SECOND,
            combine: Combine::Mean(&["bytes_read", "bytes_written"]),
            record: "weir.network.tcp.rtt_var",
        },
        Gauge {
            field: "connect_latency",
            name: "weir.network.tcp.connect.latency",
            unit: SECONDS,
            help: "Mean time from SYN to established in the latest period with a connect.",
            divisor: MICROSECONDS_PER_SECOND,
            combine: Combine::Mean(&["tcp_established"]),
            record: "weir.network.tcp.connect.latency",
        },
        Gauge {
            field: "connect_latency_max",
            name: "weir.network.tcp.connect.latency.max",
            unit: SECONDS,
            help: "Longest time from SYN to established in the latest period with a connect.",
            divisor: MICROSECONDS_PER_SECOND,
            combine: Combine::Max,
            record: "weir.network.tcp.connect.latency.max",
        },
        Gauge {
            field: "connections",
            name: "weir.network.tcp.connections",
            unit: "{connection}",
            help: "TCP connections live at the end of the latest period.",
            divisor: 1.0,
            combine: Combine::Sum,
            record: "weir.network.tcp.connections",
        },
    ],
    histograms: &[],
};

/// Apart from the rest, so that a reason does not split every other metric.
const FAILURE: Group = Group {
    name: "failure",
    split_by: Some(attribute("reason", "error.type", Form::Text, Scope::Series)),
    counters: &[Counter {
        field: "tcp_failed",
        name: "weir.network.tcp.failed",
        unit: "{connection}",
        help: "TCP connects that never reached the established state.",
        attribute: None,
        record: "weir.network.tcp.failed",
    }],
    gauges: &[],
    histograms: &[],
};
