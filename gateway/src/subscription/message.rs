//! From Points to their wire form for subscribers.

use std::sync::Arc;

use prost::Message as _;
use weir_point::{Category, Point, PointBatch, Table, Text, Value, otlp};
use weir_proto::observe::v1::{self as wire, field};

/// Clients take 4 MiB by default.
const MESSAGE_SIZE: usize = 256 * 1024;
/// Lists and maps inside each other: at two messages each they stay below the 100 that a client follows.
const DEEPEST: u32 = 45;

/// The message for the Points of `batch` at `places`.
pub(super) fn of(batch: &PointBatch, places: &[u32]) -> wire::PointBatch {
    let points = batch.points();
    wire::PointBatch {
        points: places
            .iter()
            .map(|place| point(&points[*place as usize]))
            .collect(),
    }
}

/// The message for Points of `batch` from the one at `from` on, as many as are well below what a client takes, at
/// least one. A request has as many Points as it has items.
pub(super) fn of_otlp(batch: &otlp::OtlpBatch, from: usize) -> wire::PointBatch {
    let mut points = Vec::new();
    let mut size = 0;
    for own in batch.points().skip(from) {
        let own = point(&own.to_point());
        size += own.encoded_len();
        points.push(own);
        if size >= MESSAGE_SIZE {
            break;
        }
    }
    wire::PointBatch { points }
}

fn point(point: &Point) -> wire::Point {
    let tag = |(key, value): (&Text, &Text)| wire::Tag {
        key: key.to_string(),
        value: value.to_string(),
    };
    wire::Point {
        category: category(point.category).into(),
        name: point.name.to_string(),
        time_unix_nano: point.time,
        start_time_unix_nano: point.start,
        tags: point.tags.iter().map(tag).collect(),
        fields: fields(&point.fields),
        resource: point.resource.as_ref().map(resource),
        scope: point.scope.as_ref().map(scope),
    }
}

fn resource(resource: &Arc<otlp::Resource>) -> wire::Resource {
    let read = resource.read();
    wire::Resource {
        attributes: fields(&resource.attributes()),
        dropped_attributes_count: read.dropped_attributes_count(),
        schema_url: read.schema_url().to_owned(),
    }
}

fn scope(scope: &Arc<otlp::Scope>) -> wire::Scope {
    let read = scope.read();
    wire::Scope {
        name: read.name().to_owned(),
        version: read.version().to_owned(),
        attributes: fields(&scope.attributes()),
        dropped_attributes_count: read.dropped_attributes_count(),
        schema_url: read.schema_url().to_owned(),
    }
}

fn fields(fields: &Table<Value>) -> Vec<wire::Field> {
    fields_within(fields, DEEPEST)
}

fn fields_within(fields: &Table<Value>, room: u32) -> Vec<wire::Field> {
    let field = |(key, value): (&Text, &Value)| wire::Field {
        key: key.to_string(),
        value: self::value(value, room),
    };
    fields.iter().map(field).collect()
}

/// `None` for no value, and for lists and maps deeper than `room`.
fn value(value: &Value, room: u32) -> Option<field::Value> {
    Some(match value {
        Value::List(_) | Value::Map(_) if room == 0 => return None,
        Value::Int(number) => field::Value::Int(*number),
        Value::Float(number) => field::Value::Float(*number),
        Value::Bool(answer) => field::Value::Bool(*answer),
        Value::Text(text) => field::Value::String(text.to_string()),
        Value::Bytes(bytes) => field::Value::Bytes(bytes.to_vec()),
        Value::List(list) => field::Value::List(wire::List {
            values: list
                .iter()
                .map(|own| wire::Field {
                    key: String::new(),
                    value: self::value(own, room - 1),
                })
                .collect(),
        }),
        Value::Map(map) => field::Value::Map(wire::Map {
            fields: fields_within(map, room - 1),
        }),
        Value::Null => return None,
    })
}

fn category(category: Category) -> wire::Category {
    match category {
        Category::Network => wire::Category::Network,
        Category::Metric => wire::Category::Metric,
        Category::Tracing => wire::Category::Tracing,
        Category::Logging => wire::Category::Logging,
    }
}
