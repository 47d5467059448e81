//! One Point as one line of JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use weir_proto::observe::v1::{Category, Field, Point, field};

/// Append `{"name", "time", "tags", "fields"}` and a line feed; `time` is in nanoseconds since the epoch. What came over
/// OTLP has `category`, `start`, `resource` and `scope` besides. A number that JSON does not have is `null`; bytes are
/// hexadecimal.
pub(super) fn push_line(point: &Point, out: &mut String) {
    let name = Value::from(point.name.as_str());
    let time = point.time_unix_nano;
    let tags = point
        .tags
        .iter()
        .map(|tag| (tag.key.clone(), Value::from(tag.value.as_str())));
    let tags = Value::Object(tags.collect::<Map<_, _>>());
    let fields = map(&point.fields);
    let begin = match category(point) {
        Some(category) => format!(r#""category":"{category}","#),
        None => String::new(),
    };
    let end = match category(point) {
        Some(_) => around(point),
        None => String::new(),
    };
    writeln!(
        out,
        r#"{{{begin}"name":{name},"time":{time},"tags":{tags},"fields":{fields}{end}}}"#
    )
    .expect("a String takes everything");
}

/// The category, unless it is a flow.
fn category(point: &Point) -> Option<&'static str> {
    match point.category() {
        Category::Metric => Some("metric"),
        Category::Tracing => Some("tracing"),
        Category::Logging => Some("logging"),
        Category::Unspecified | Category::Network => None,
    }
}

fn around(point: &Point) -> String {
    let mut out = format!(r#","start":{}"#, point.start_time_unix_nano);
    if let Some(resource) = &point.resource {
        let resource = json!({
            "attributes": map(&resource.attributes),
            "dropped_attributes_count": resource.dropped_attributes_count,
            "schema_url": resource.schema_url,
        });
        write!(out, r#","resource":{resource}"#).expect("a String takes everything");
    }
    if let Some(scope) = &point.scope {
        let scope = json!({
            "name": scope.name,
            "version": scope.version,
            "attributes": map(&scope.attributes),
            "dropped_attributes_count": scope.dropped_attributes_count,
            "schema_url": scope.schema_url,
        });
        write!(out, r#","scope":{scope}"#).expect("a String takes everything");
    }
    out
}

fn map(fields: &[Field]) -> Value {
    let entries = fields
        .iter()
        .map(|field| (field.key.clone(), value(field.value.as_ref())));
    Value::Object(entries.collect())
}

pub(super) fn value(value: Option<&field::Value>) -> Value {
    match value {
        Some(field::Value::Int(number)) => Value::from(*number),
        Some(field::Value::Float(number)) => Value::from(*number),
        Some(field::Value::Bool(answer)) => Value::from(*answer),
        Some(field::Value::String(text)) => Value::from(text.as_str()),
        Some(field::Value::Bytes(bytes)) => Value::from(
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>(),
        ),
        Some(field::Value::List(list)) => {
            let values = list.values.iter();
            Value::Array(values.map(|own| self::value(own.value.as_ref())).collect())
        }
        Some(field::Value::Map(own)) => map(&own.fields),
        None => Value::Null,
    }
}
