//! HTTP requests under the default profile.

use weir_proto::LATENCY_BOUNDS_NS;

use super::{
    Attribute, BYTES, COMMON, Combine, Counter, DataSet, Form, Gauge, Group, Histogram,
    HistogramRecord, NANOSECONDS_PER_SECOND, RECEIVED, RECORD, SECONDS, SENT, SOURCE, SOURCE_PLACE,
    Scope, Side, attribute, destination, destination_place, translated,
};

pub(super) const HTTPFLOW: DataSet = DataSet {
    point: "httpflow",
    event: "weir.flow.httpflow",
    attributes: &[
        SOURCE,
        &destination(Scope::Server),
        COMMON,
        &translated(Scope::Server),
        REQUEST,
        SOURCE_PLACE,
        &destination_place(Scope::Server),
        RECORD,
    ],
    groups: &[HTTP],
};

const REQUEST: &[Attribute] = &[
    attribute("dst_domain", "server.address", Form::Text, Scope::Server),
    attribute("method", "http.request.method", Form::Text, Scope::Series),
    attribute("route", "http.route", Form::Text, Scope::Series),
    attribute(
        "status_code",
        "http.response.status_code",
        Form::Code,
        Scope::Series,
    ),
    attribute("reason", "error.type", Form::Text, Scope::Series),
    attribute(
        "grpc_status",
        "rpc.grpc.status_code",
        Form::Number,
        Scope::Series,
    ),
    attribute(
        "http_version",
        "network.protocol.version",
        Form::Text,
        Scope::Series,
    ),
    attribute("tls", "url.scheme", Form::Scheme, Scope::Series),
    attribute("path", "url.path", Form::Text, Scope::Record),
    attribute(
        "truncated",
        "weir.url.path.truncated",
        Form::Flag,
        Scope::Record,
    ),
];

const IO: &str = "weir.http.io";
const IO_HELP: &str = "Bytes of whole HTTP messages read and written.";

const HTTP: Group = Group {
    name: "http",
    split_by: None,
    counters: &[
        Counter {
            field: "count",
            name: "weir.http.requests",
            unit: "{request}",
            help: "HTTP requests, answered or not.",
            attribute: None,
            record: "weir.http.requests",
        },
        Counter {
            field: "bytes_read",
            name: IO,
            unit: BYTES,
            help: IO_HELP,
            attribute: RECEIVED,
            record: "weir.http.io.receive",
        },
        Counter {
            field: "bytes_written",
            name: IO,
            unit: BYTES,
            help: IO_HELP,
            attribute: SENT,
            record: "weir.http.io.transmit",
        },
    ],
    gauges: &[Gauge {
        field: "latency_max",
        name: "weir.http.request.duration.max",
        unit: SECONDS,
        help: "Longest time to the first byte of an HTTP answer in the latest period with an answer.",
        divisor: NANOSECONDS_PER_SECOND,
        combine: Combine::Max,
        record: "weir.http.request.duration.max",
    }],
    histograms: &[
        duration(
            "http.server.request.duration",
            Side::Server,
            "Time from the last byte of an HTTP request to the first of its answer, as its server sees it.",
        ),
        duration(
            "http.client.request.duration",
            Side::Client,
            "Time from the last byte of an HTTP request to the first of its answer, as its client sees it.",
        ),
    ],
};

const fn duration(name: &'static str, side: Side, help: &'static str) -> Histogram {
    Histogram {
        buckets: "latency_buckets",
        sum: "latency_sum",
        max: "latency_max",
        mean: "latency",
        name,
        unit: SECONDS,
        help,
        bounds: &LATENCY_BOUNDS_NS,
        divisor: NANOSECONDS_PER_SECOND,
        side: Some(side),
        record: HistogramRecord {
            mean: "weir.http.request.duration.mean",
            sum: "weir.http.request.duration.sum",
            buckets: "weir.http.request.duration.buckets",
        },
    }
}
