//! The default profile: OpenTelemetry's semantic conventions where they have a name,
//! and names in their style under `weir.` where they have none.

mod dnsflow;
mod httpflow;
mod netflow;

use super::{
    Attribute, Combine, Counter, DataSet, Form, Gauge, Group, Histogram, HistogramRecord, Profile,
    Scope, Side,
};

/// The profile that is used unless another is chosen.
pub static SEMCONV: Profile = Profile {
    name: "semconv",
    schema_url: "https://opentelemetry.io/schemas/1.37.0",
    data_sets: &[netflow::NETFLOW, dnsflow::DNSFLOW, httpflow::HTTPFLOW],
};

const BYTES: &str = "By";
const SECONDS: &str = "s";
const NANOSECONDS_PER_SECOND: f64 = 1e9;
const RECEIVED: Option<(&str, &str)> = Some(("network.io.direction", "receive"));
const SENT: Option<(&str, &str)> = Some(("network.io.direction", "transmit"));

const SOURCE: &[Attribute] = &[
    attribute("host", "host.name", Form::Text, Scope::Resource),
    attribute("src_ip", "source.address", Form::Text, Scope::Series),
    attribute("src_port", "source.port", Form::Integer, Scope::Series),
];

const COMMON: &[Attribute] = &[
    attribute("transport", "network.transport", Form::Text, Scope::Series),
    attribute("family", "network.type", Form::LowerCase, Scope::Series),
    attribute("direction", "flow.direction", Form::Text, Scope::Series),
    attribute(
        "process_name",
        "process.executable.name",
        Form::Text,
        Scope::Series,
    ),
    attribute("container_id", "container.id", Form::Text, Scope::Series),
];

const RECORD: &[Attribute] = &[
    attribute("pid", "process.pid", Form::Integer, Scope::Record),
    attribute(
        "direction_source",
        "weir.flow.direction.source",
        Form::Text,
        Scope::Record,
    ),
    attribute(
        "src_ip_type",
        "weir.source.address.type",
        Form::Text,
        Scope::Record,
    ),
    attribute(
        "dst_ip_type",
        "weir.destination.address.type",
        Form::Text,
        Scope::Record,
    ),
    attribute(
        "dst_domain_source",
        "weir.destination.domain.source",
        Form::Text,
        Scope::Record,
    ),
    attribute(
        "netns",
        "weir.network.namespace",
        Form::Integer,
        Scope::Record,
    ),
];

/// The name of the remote end.
const fn domain(scope: Scope) -> Attribute {
    attribute("dst_domain", "weir.destination.domain", Form::Text, scope)
}

const fn destination(scope: Scope) -> [Attribute; 2] {
    [
        attribute("dst_ip", "destination.address", Form::Text, scope),
        attribute("dst_port", "destination.port", Form::Integer, scope),
    ]
}

/// Where the local end is. The conventions have `geo.*` for one place: here it is under the end that is there.
const SOURCE_PLACE: &[Attribute] = &[
    attribute(
        "src_country",
        "weir.source.geo.country.name",
        Form::Text,
        Scope::Series,
    ),
    attribute(
        "src_province",
        "weir.source.geo.region.name",
        Form::Text,
        Scope::Series,
    ),
    attribute(
        "src_city",
        "source.geo.locality.name",
        Form::Text,
        Scope::Series,
    ),
    attribute(
        "src_lat",
        "source.geo.location.lat",
        Form::Decimal,
        Scope::Record,
    ),
    attribute(
        "src_lon",
        "source.geo.location.lon",
        Form::Decimal,
        Scope::Record,
    ),
];

/// Where the remote end is. Countries are few enough for series of their own, even those of a server's clients.
const fn destination_place(scope: Scope) -> [Attribute; 5] {
    [
        attribute(
            "dst_country",
            "weir.destination.geo.country.name",
            Form::Text,
            Scope::Series,
        ),
        attribute(
            "dst_province",
            "weir.destination.geo.region.name",
            Form::Text,
            scope,
        ),
        attribute(
            "dst_city",
            "destination.geo.locality.name",
            Form::Text,
            scope,
        ),
        attribute(
            "dst_lat",
            "destination.geo.location.lat",
            Form::Decimal,
            Scope::Record,
        ),
        attribute(
            "dst_lon",
            "destination.geo.location.lon",
            Form::Decimal,
            Scope::Record,
        ),
    ]
}

const fn translated(scope: Scope) -> [Attribute; 2] {
    [
        attribute(
            "dst_nat_ip",
            "weir.destination.nat.address",
            Form::Text,
            scope,
        ),
        attribute(
            "dst_nat_port",
            "weir.destination.nat.port",
            Form::Integer,
            scope,
        ),
    ]
}

const fn attribute(tag: &'static str, name: &'static str, form: Form, scope: Scope) -> Attribute {
    Attribute {
        tag,
        name,
        form,
        scope,
    }
}
