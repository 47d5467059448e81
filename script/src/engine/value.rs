//! Values of Points as values of VRL, and back.

use std::sync::Arc;

use vrl::{
    prelude::{KeyString, NotNan, ObjectMap},
    value::Value as Vrl,
};
use weir_point::{Table, Text, Value};

use super::Limits;

/// As deep as lists and maps may lie in each other: what every decoder of OTLP follows.
const DEEPEST: u32 = 32;
/// Most entries of one list or map.
pub(super) const MOST_ENTRIES: usize = 1024;
/// What an entry counts beside its text.
const ENTRY: usize = 16;

/// The result of a program cannot be put into a Point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadResult {
    #[error("the result is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("more than {MOST_ENTRIES} entries in one list or map")]
    TooMany,
    #[error("lists or maps more than {DEEPEST} inside each other")]
    TooDeep,
    #[error("{part} must be {wanted}, and is {found}")]
    Kind {
        part: &'static str,
        wanted: &'static str,
        found: String,
    },
    #[error("emit: a Point has no {key}")]
    Unknown { key: String },
}

impl BadResult {
    pub(super) fn kind(part: &'static str, wanted: &'static str, found: &Vrl) -> Self {
        Self::Kind {
            part,
            wanted,
            found: found.kind().to_string(),
        }
    }
}

/// What is left of the size that a result may have.
#[derive(Debug)]
pub(super) struct Room {
    limit: usize,
    left: usize,
}

impl Room {
    pub(super) const fn new(limits: &Limits) -> Self {
        Self {
            limit: limits.result,
            left: limits.result,
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), BadResult> {
        let left = self.left.checked_sub(bytes + ENTRY);
        self.left = left.ok_or(BadResult::TooLarge { limit: self.limit })?;
        Ok(())
    }
}

pub(super) fn from_text(text: &str) -> Vrl {
    Vrl::from(text)
}

#[expect(
    clippy::cast_possible_wrap,
    reason = "a time behind 2262 is as good as any other that is not one"
)]
pub(super) fn from_time(nanoseconds: u64) -> Vrl {
    Vrl::Integer(nanoseconds as i64)
}

pub(super) fn from_tags(tags: &Table<Text>) -> Vrl {
    let entry = |(key, text): (&Text, &Text)| (KeyString::from(key.as_str()), from_text(text));
    Vrl::Object(tags.iter().map(entry).collect())
}

pub(super) fn from_fields(fields: &Table<Value>) -> Vrl {
    let entry = |(key, value): (&Text, &Value)| (KeyString::from(key.as_str()), from_value(value));
    Vrl::Object(fields.iter().map(entry).collect())
}

/// A float that is not a number is null.
pub(super) fn from_value(value: &Value) -> Vrl {
    match value {
        Value::Int(number) => Vrl::Integer(*number),
        Value::Float(number) => NotNan::new(*number).map_or(Vrl::Null, Vrl::Float),
        Value::Bool(answer) => Vrl::Boolean(*answer),
        Value::Text(text) => from_text(text),
        Value::Bytes(bytes) => Vrl::from(&bytes[..]),
        Value::List(list) => Vrl::Array(list.iter().map(from_value).collect()),
        Value::Map(map) => from_fields(map),
        Value::Null => Vrl::Null,
    }
}

/// `None` for null, which removes the tag.
pub(super) fn to_tag(value: &Vrl, room: &mut Room) -> Result<Option<Text>, BadResult> {
    let text = match value {
        Vrl::Null => return Ok(None),
        Vrl::String(text) => Text::new(&text[..]),
        Vrl::Bytes(bytes) => Text::new(String::from_utf8_lossy(bytes)),
        other => Text::new(other.to_string_lossy()),
    };
    room.take(text.len())?;
    Ok(Some(text))
}

pub(super) fn to_tags(value: &Vrl, room: &mut Room) -> Result<Table<Text>, BadResult> {
    let mut tags = Table::default();
    for (key, value) in object("tags", value)? {
        if let Some(text) = to_tag(value, room)? {
            room.take(key.len())?;
            tags.set(Text::new(key.as_str()), text);
        }
    }
    Ok(tags)
}

pub(super) fn to_name(value: &Vrl, room: &mut Room) -> Result<Text, BadResult> {
    match value {
        Vrl::String(_) | Vrl::Bytes(_) => Ok(to_tag(value, room)?.unwrap_or_default()),
        other => Err(BadResult::kind("name", "text", other)),
    }
}

/// Nanoseconds since the epoch, from a whole number of them or a timestamp.
pub(super) fn to_time(part: &'static str, value: &Vrl) -> Result<u64, BadResult> {
    let nanoseconds = match value {
        #[expect(clippy::cast_sign_loss, reason = "turns back what `from_time` did")]
        Vrl::Integer(number) => Some(*number as u64),
        Vrl::Timestamp(time) => {
            let seconds = u64::try_from(time.timestamp()).ok();
            let nanoseconds = u64::from(time.timestamp_subsec_nanos());
            seconds
                .and_then(|seconds| seconds.checked_mul(1_000_000_000))
                .and_then(|whole| whole.checked_add(nanoseconds))
        }
        _ => None,
    };
    let wanted = "nanoseconds since 1970 or a timestamp";
    nanoseconds.ok_or_else(|| BadResult::kind(part, wanted, value))
}

/// Fields that are null are left out.
pub(super) fn to_fields(
    value: &Vrl,
    old: &Table<Value>,
    room: &mut Room,
) -> Result<Table<Value>, BadResult> {
    let map = object("fields", value)?;
    let mut fields = Table::with_capacity(map.len());
    for (key, value) in map {
        room.take(key.len())?;
        if let Some(value) = to_field(value, old.get(key), room)? {
            fields.set(Text::new(key.as_str()), value);
        }
    }
    Ok(fields)
}

/// `None` for null, which removes the field. `old` is what was there before: what VRL cannot tell from something
/// else stays what it was.
pub(super) fn to_field(
    value: &Vrl,
    old: Option<&Value>,
    room: &mut Room,
) -> Result<Option<Value>, BadResult> {
    let was_null = match old {
        Some(Value::Float(number)) => number.is_nan(),
        Some(Value::Null) => true,
        _ => false,
    };
    if matches!(value, Vrl::Null) && !was_null {
        return Ok(None);
    }
    to_value(value, old, DEEPEST, room).map(Some)
}

fn to_value(
    value: &Vrl,
    old: Option<&Value>,
    depth: u32,
    room: &mut Room,
) -> Result<Value, BadResult> {
    Ok(match (value, old) {
        (Vrl::Array(_) | Vrl::Object(_), _) if depth == 0 => return Err(BadResult::TooDeep),
        // VRL has one kind for both, and none for what is not a number.
        (Vrl::Bytes(bytes), Some(Value::Bytes(old))) if bytes[..] == old[..] => {
            room.take(bytes.len())?;
            Value::Bytes(Arc::clone(old))
        }
        (Vrl::Null, Some(Value::Float(old))) if old.is_nan() => Value::Float(*old),
        (Vrl::Null, _) => Value::Null,
        (Vrl::Integer(number), _) => Value::Int(*number),
        (Vrl::Float(number), _) => Value::Float(number.into_inner()),
        (Vrl::Boolean(answer), _) => Value::Bool(*answer),
        (Vrl::String(text), _) => {
            room.take(text.len())?;
            Value::Text(Text::new(&text[..]))
        }
        (Vrl::Bytes(bytes), _) => {
            room.take(bytes.len())?;
            match std::str::from_utf8(bytes) {
                Ok(text) => Value::Text(Text::new(text)),
                Err(_binary) => Value::Bytes(bytes[..].into()),
            }
        }
        (Vrl::Regex(_), _) => Value::Text(to_tag(value, room)?.unwrap_or_default()),
        (Vrl::Timestamp(_), _) => Value::Int(to_time("a timestamp", value)?.cast_signed()),
        (Vrl::Array(list), old) => {
            if list.len() > MOST_ENTRIES {
                return Err(BadResult::TooMany);
            }
            let old = match old {
                Some(Value::List(old)) => &old[..],
                _ => &[],
            };
            let mut values = Vec::with_capacity(list.len());
            for (place, own) in list.iter().enumerate() {
                room.take(0)?;
                values.push(to_value(own, old.get(place), depth - 1, room)?);
            }
            Value::List(values)
        }
        (Vrl::Object(map), old) => {
            if map.len() > MOST_ENTRIES {
                return Err(BadResult::TooMany);
            }
            let mut values = Table::with_capacity(map.len());
            for (key, own) in map {
                room.take(key.len())?;
                let old = match old {
                    Some(Value::Map(old)) => old.get(key),
                    _ => None,
                };
                values.set(
                    Text::new(key.as_str()),
                    to_value(own, old, depth - 1, room)?,
                );
            }
            Value::Map(values)
        }
    })
}

pub(super) fn object<'v>(part: &'static str, value: &'v Vrl) -> Result<&'v ObjectMap, BadResult> {
    match value {
        Vrl::Object(map) if map.len() > MOST_ENTRIES => Err(BadResult::TooMany),
        Vrl::Object(map) => Ok(map),
        other => Err(BadResult::kind(part, "an object", other)),
    }
}
