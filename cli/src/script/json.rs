//! Points as the JSON that `weir points -o json` prints, both ways.

use std::sync::Arc;

use serde_json::{Deserializer, Map, Value as Json, json};
use weir_point::{
    Category, Point, Table, Text, Value,
    otlp::{Resource, Scope},
};

/// What is not a Point.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPoint {
    /// No JSON at all.
    #[error("not JSON: {0}")]
    Syntax(serde_json::Error),
    /// JSON of something else.
    #[error("point {number}: {problem}")]
    Shape {
        /// Which one, from 1.
        number: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// The objects in `text`: one after the other, or in lists.
pub(super) fn objects(text: &str) -> Result<Vec<Map<String, Json>>, InvalidPoint> {
    let mut objects = Vec::new();
    for value in Deserializer::from_str(text).into_iter::<Json>() {
        let values = match value.map_err(InvalidPoint::Syntax)? {
            Json::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let Json::Object(object) = value else {
                return Err(InvalidPoint::Shape {
                    number: objects.len() + 1,
                    problem: "is not an object".to_owned(),
                });
            };
            objects.push(object);
        }
    }
    Ok(objects)
}

/// The Points in `text`.
pub(super) fn points(text: &str) -> Result<Vec<Point>, InvalidPoint> {
    let numbered = (1..).zip(objects(text)?);
    numbered
        .map(|(number, object)| {
            point(&object).map_err(|problem| InvalidPoint::Shape { number, problem })
        })
        .collect()
}

fn point(object: &Map<String, Json>) -> Result<Point, String> {
    let mut read = Point::new(Category::Network, Text::default());
    for (key, value) in object {
        match key.as_str() {
            "category" => read.category = category(value)?,
            "name" => read.name = text(key, value)?,
            "time" => read.time = time(key, value)?,
            "start" => read.start = time(key, value)?,
            "tags" => {
                for (key, value) in map(key, value)? {
                    read.tags.set(Text::new(key), text(key, value)?);
                }
            }
            "fields" => read.fields = table(map(key, value)?),
            "resource" => {
                let (attributes, schema) = group(key, value)?;
                let resource = Resource::new(&attributes, &schema);
                read.resource = Some(Arc::new(resource.map_err(|error| error.to_string())?));
            }
            "scope" => {
                let (attributes, schema) = group(key, value)?;
                let part = |key: &str| value.get(key).and_then(Json::as_str).unwrap_or("");
                let scope = Scope::new(part("name"), part("version"), &attributes, &schema);
                read.scope = Some(Arc::new(scope.map_err(|error| error.to_string())?));
            }
            _ => return Err(format!("`{key}` is no part of a Point")),
        }
    }
    Ok(read)
}

fn group(key: &str, value: &Json) -> Result<(Table<Value>, String), String> {
    let group = map(key, value)?;
    let attributes = match group.get("attributes") {
        Some(attributes) => table(map("attributes", attributes)?),
        None => Table::default(),
    };
    let schema = group.get("schema_url").and_then(Json::as_str);
    Ok((attributes, schema.unwrap_or_default().to_owned()))
}

fn category(value: &Json) -> Result<Category, String> {
    match value.as_str() {
        Some("network") => Ok(Category::Network),
        Some("metric") => Ok(Category::Metric),
        Some("tracing") => Ok(Category::Tracing),
        Some("logging") => Ok(Category::Logging),
        _ => Err(format!("there is no category {value}")),
    }
}

fn text(key: &str, value: &Json) -> Result<Text, String> {
    let text = value.as_str().map(Text::new);
    text.ok_or_else(|| format!("`{key}` is not text"))
}

fn time(key: &str, value: &Json) -> Result<u64, String> {
    let time = value.as_u64();
    time.ok_or_else(|| format!("`{key}` is not a time in nanoseconds since 1970"))
}

fn map<'v>(key: &str, value: &'v Json) -> Result<&'v Map<String, Json>, String> {
    let map = value.as_object();
    map.ok_or_else(|| format!("`{key}` is not an object"))
}

fn table(map: &Map<String, Json>) -> Table<Value> {
    let entries = map.iter();
    entries
        .map(|(key, value)| (Text::new(key), value_of(value)))
        .collect()
}

fn value_of(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(answer) => Value::Bool(*answer),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::Float(number),
            (None, None) => Value::Null,
        },
        Json::String(text) => Value::Text(Text::new(text)),
        Json::Array(list) => Value::List(list.iter().map(value_of).collect()),
        Json::Object(map) => Value::Map(table(map)),
    }
}

/// All of `point` that a script can write.
pub(super) fn shown(point: &Point) -> Map<String, Json> {
    let tags = point.tags.iter();
    let tags: Map<_, _> = tags
        .map(|(key, text)| (key.to_string(), Json::from(text.as_str())))
        .collect();
    let shown = json!({
        "category": category_name(point.category),
        "name": point.name.as_str(),
        "time": point.time,
        "start": point.start,
        "tags": tags,
        "fields": fields(&point.fields),
    });
    match shown {
        Json::Object(shown) => shown,
        _ => Map::new(),
    }
}

const fn category_name(category: Category) -> &'static str {
    match category {
        Category::Network => "network",
        Category::Metric => "metric",
        Category::Tracing => "tracing",
        Category::Logging => "logging",
    }
}

fn fields(fields: &Table<Value>) -> Map<String, Json> {
    let entries = fields.iter();
    entries
        .map(|(key, value)| (key.to_string(), json_of(value)))
        .collect()
}

fn json_of(value: &Value) -> Json {
    match value {
        Value::Int(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Bool(answer) => Json::from(*answer),
        Value::Text(text) => Json::from(text.as_str()),
        Value::Bytes(bytes) => {
            let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
            Json::from(digits.collect::<String>())
        }
        Value::List(list) => Json::Array(list.iter().map(json_of).collect()),
        Value::Map(map) => Json::Object(fields(map)),
        Value::Null => Json::Null,
    }
}
