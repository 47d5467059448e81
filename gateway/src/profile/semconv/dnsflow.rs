//! DNS queries under the default profile.

use weir_proto::LATENCY_BOUNDS_NS;

use super::{
    COMMON, Combine, Counter, DataSet, Form, Gauge, Group, Histogram, HistogramRecord,
    NANOSECONDS_PER_SECOND, RECORD, SECONDS, SOURCE, SOURCE_PLACE, Scope, Side, attribute,
    destination, destination_place, domain, translated,
};

pub(super) const DNSFLOW: DataSet = DataSet {
    point: "dnsflow",
    event: "weir.flow.dnsflow",
    attributes: &[
        SOURCE,
        &destination(Scope::Server),
        COMMON,
        &translated(Scope::Server),
        &[
            domain(Scope::Server),
            attribute("query_name", "dns.question.name", Form::Text, Scope::Series),
            attribute(
                "query_type",
                "weir.dns.question.type",
                Form::Text,
                Scope::Series,
            ),
            attribute(
                "rcode",
                "weir.dns.response.code",
                Form::Number,
                Scope::Series,
            ),
        ],
        SOURCE_PLACE,
        &destination_place(Scope::Server),
        RECORD,
    ],
    groups: &[Group {
        name: "dns",
        split_by: None,
        counters: &[Counter {
            field: "count",
            name: "weir.dns.queries",
            unit: "{query}",
            help: "DNS queries, answered or not.",
            attribute: None,
            record: "weir.dns.queries",
        }],
        gauges: &[Gauge {
            field: "latency_max",
            name: "weir.dns.duration.max",
            unit: SECONDS,
            help: "Longest time from a DNS query to its answer in the latest period with an answer.",
            divisor: NANOSECONDS_PER_SECOND,
            combine: Combine::Max,
            record: "weir.dns.duration.max",
        }],
        histograms: &[
            duration(
                "dns.lookup.duration",
                Side::Client,
                "Time from a DNS query to its answer, as its client sees it.",
            ),
            duration(
                "weir.dns.server.duration",
                Side::Server,
                "Time from a DNS query to its answer, as its server sees it.",
            ),
        ],
    }],
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
            mean: "weir.dns.duration.mean",
            sum: "weir.dns.duration.sum",
            buckets: "weir.dns.duration.buckets",
        },
    }
}
