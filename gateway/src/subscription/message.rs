//! From Points to their wire form for subscribers.

use weir_point::{Category, Point, PointBatch, Value};
use weir_proto::observe::v1::{self as wire, field};

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

fn point(point: &Point) -> wire::Point {
    let tag = |(key, value): (&weir_point::Text, &weir_point::Text)| wire::Tag {
        key: key.to_string(),
        value: value.to_string(),
    };
    let field = |(key, value): (&weir_point::Text, &Value)| wire::Field {
        key: key.to_string(),
        value: Some(self::value(value)),
    };
    wire::Point {
        category: category(point.category).into(),
        name: point.name.to_string(),
        time_unix_nano: point.time,
        tags: point.tags.iter().map(tag).collect(),
        fields: point.fields.iter().map(field).collect(),
    }
}

fn value(value: &Value) -> field::Value {
    match value {
        Value::Int(number) => field::Value::Int(*number),
        Value::Float(number) => field::Value::Float(*number),
        Value::Bool(answer) => field::Value::Bool(*answer),
        Value::Text(text) => field::Value::String(text.to_string()),
    }
}

fn category(category: Category) -> wire::Category {
    match category {
        Category::Network => wire::Category::Network,
        Category::Metric => wire::Category::Metric,
        Category::Tracing => wire::Category::Tracing,
        Category::Logging => wire::Category::Logging,
    }
}
