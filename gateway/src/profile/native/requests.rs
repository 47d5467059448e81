//! DNS queries and HTTP requests under their own names.

use super::{
    Attribute, BYTES, COMMON, Combine, DataSet, Form, Group, NANOSECONDS, RECORD, SOURCE,
    SOURCE_PLACE, Scope, attribute, counter, destination, destination_place, gauge, latency,
    remote,
};

pub(super) const DNSFLOW: DataSet = DataSet {
    point: "dnsflow",
    event: "weir.flow.dnsflow",
    attributes: &[
        SOURCE,
        &destination(Scope::Server),
        COMMON,
        &remote(Scope::Server),
        &[
            attribute("query_name", Scope::Series),
            attribute("query_type", Scope::Series),
            field("rcode", Form::Number, Scope::Series),
        ],
        SOURCE_PLACE,
        &destination_place(Scope::Server),
        RECORD,
    ],
    groups: &[Group {
        name: "dns",
        split_by: None,
        counters: &[counter(
            "dnsflow.count",
            "count",
            "{query}",
            "DNS queries, answered or not.",
        )],
        gauges: &[gauge(
            ("dnsflow.latency_max", "latency_max", NANOSECONDS),
            Combine::Max,
            "Longest time from a DNS query to its answer in the latest period with an answer.",
        )],
        histograms: &[latency(
            "dnsflow.latency",
            "Time from a DNS query to its answer.",
        )],
    }],
};

pub(super) const HTTPFLOW: DataSet = DataSet {
    point: "httpflow",
    event: "weir.flow.httpflow",
    attributes: &[
        SOURCE,
        &destination(Scope::Server),
        COMMON,
        &remote(Scope::Server),
        &[
            attribute("method", Scope::Series),
            attribute("route", Scope::Series),
            field("status_code", Form::Number, Scope::Series),
            attribute("reason", Scope::Series),
            field("grpc_status", Form::Number, Scope::Series),
            attribute("http_version", Scope::Series),
            attribute("tls", Scope::Series),
            attribute("path", Scope::Record),
            field("truncated", Form::Flag, Scope::Record),
        ],
        SOURCE_PLACE,
        &destination_place(Scope::Server),
        RECORD,
    ],
    groups: &[Group {
        name: "http",
        split_by: None,
        counters: &[
            counter(
                "httpflow.count",
                "count",
                "{request}",
                "HTTP requests, answered or not.",
            ),
            counter(
                "httpflow.bytes_read",
                "bytes_read",
                BYTES,
                "Bytes of whole HTTP messages read.",
            ),
            counter(
                "httpflow.bytes_written",
                "bytes_written",
                BYTES,
                "Bytes of whole HTTP messages written.",
            ),
        ],
        gauges: &[gauge(
            ("httpflow.latency_max", "latency_max", NANOSECONDS),
            Combine::Max,
            "Longest time to the first byte of an HTTP answer in the latest period with an answer.",
        )],
        histograms: &[latency(
            "httpflow.latency",
            "Time from the last byte of an HTTP request to the first of its answer.",
        )],
    }],
};

const fn field(name: &'static str, form: Form, scope: Scope) -> Attribute {
    Attribute {
        tag: name,
        name,
        form,
        scope,
    }
}
