//! One Point as one line of JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use weir_proto::observe::v1::{Point, field};

/// Append `{"name", "time", "tags", "fields"}` and a line feed; `time` is in
/// nanoseconds since the epoch. A number that JSON does not have is `null`.
pub(super) fn push_line(point: &Point, out: &mut String) {
    let name = Value::from(point.name.as_str());
    let time = point.time_unix_nano;
    let tags = point
        .tags
        .iter()
        .map(|tag| (tag.key.clone(), Value::from(tag.value.as_str())));
    let tags = Value::Object(tags.collect::<Map<_, _>>());
    let fields = point
        .fields
        .iter()
        .map(|field| (field.key.clone(), value(field.value.as_ref())));
    let fields = Value::Object(fields.collect::<Map<_, _>>());
    writeln!(
        out,
        r#"{{"name":{name},"time":{time},"tags":{tags},"fields":{fields}}}"#
    )
    .expect("a String takes everything");
}

fn value(value: Option<&field::Value>) -> Value {
    match value {
        Some(field::Value::Int(number)) => Value::from(*number),
        Some(field::Value::Float(number)) => Value::from(*number),
        Some(field::Value::Bool(answer)) => Value::from(*answer),
        Some(field::Value::String(text)) => Value::from(text.as_str()),
        None => Value::Null,
    }
}
