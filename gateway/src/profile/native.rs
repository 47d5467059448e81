//! The profile that keeps weir's own names: every tag and every field as the data set calls it, in
//! the data set's units.

mod netflow;
mod requests;

use weir_proto::LATENCY_BOUNDS_NS;

use super::{
    Attribute, Combine, Counter, DataSet, Form, Gauge, Group, Histogram, HistogramRecord, Profile,
    Scope,
};

/// The names of the data sets.
pub static NATIVE: Profile = Profile {
    name: "native",
    schema_url: "",
    data_sets: &[netflow::NETFLOW, requests::DNSFLOW, requests::HTTPFLOW],
};

const BYTES: &str = "By";

const SOURCE: &[Attribute] = &[
    attribute("host", Scope::Resource),
    attribute("source", Scope::Series),
    attribute("src_ip", Scope::Series),
    attribute("src_port", Scope::Series),
    attribute("src_ip_type", Scope::Series),
];

const COMMON: &[Attribute] = &[
    attribute("transport", Scope::Series),
    attribute("family", Scope::Series),
    attribute("direction", Scope::Series),
    attribute("process_name", Scope::Series),
    attribute("container_id", Scope::Series),
    attribute("sub_source", Scope::Series),
];

const RECORD: &[Attribute] = &[
    attribute("pid", Scope::Record),
    attribute("direction_source", Scope::Record),
    attribute("dst_domain_source", Scope::Record),
    attribute("netns", Scope::Record),
];

const fn destination(scope: Scope) -> [Attribute; 3] {
    [
        attribute("dst_ip", scope),
        attribute("dst_port", scope),
        attribute("dst_ip_type", scope),
    ]
}

/// What else is known of the remote end.
const fn remote(scope: Scope) -> [Attribute; 3] {
    [
        attribute("dst_nat_ip", scope),
        attribute("dst_nat_port", scope),
        attribute("dst_domain", scope),
    ]
}

const SOURCE_PLACE: &[Attribute] = &[
    attribute("src_country", Scope::Series),
    attribute("src_province", Scope::Series),
    attribute("src_city", Scope::Series),
    attribute("src_lat", Scope::Record),
    attribute("src_lon", Scope::Record),
];

/// Countries are few enough for series of their own, even those of a server's clients.
const fn destination_place(scope: Scope) -> [Attribute; 5] {
    [
        attribute("dst_country", Scope::Series),
        attribute("dst_province", scope),
        attribute("dst_city", scope),
        attribute("dst_lat", Scope::Record),
        attribute("dst_lon", Scope::Record),
    ]
}

/// The times of requests under the name `name`.
const fn latency(name: &'static str, help: &'static str) -> Histogram {
    Histogram {
        buckets: "latency_buckets",
        sum: "latency_sum",
        max: "latency_max",
        mean: "latency",
        name,
        unit: NANOSECONDS,
        help,
        bounds: &LATENCY_BOUNDS_NS,
        divisor: 1.0,
        side: None,
        record: HistogramRecord {
            mean: "latency",
            sum: "latency_sum",
            buckets: "latency_buckets",
        },
    }
}

const NANOSECONDS: &str = "ns";

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
