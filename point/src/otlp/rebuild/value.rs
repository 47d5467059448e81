//! Values of Points as fields of messages.

use super::put_changed;
use crate::{
    Table, Value,
    otlp::{
        cursor::WireType,
        put::{put_chunk, put_fixed64, put_tag, put_text, put_varint},
        shape::{Field, Form, Shape},
    },
};

/// Why a value has no place in a message.
type Problem = &'static str;

/// How many messages inside each other a value of a Point may be. Decoders refuse a request deeper than 100; with all
/// that may be around a value that leaves a little more.
const DEEPEST: u32 = 88;

/// Appends a field with `value`; nothing if that is what absence means.
pub(super) fn put_field(field: &Field, value: &Value, out: &mut Vec<u8>) -> Result<(), Problem> {
    let number = field.number;
    match (field.form, value) {
        (Form::Text, Value::Text(text)) => {
            if !text.is_empty() {
                put_chunk(number, text.as_bytes(), out);
            }
        }
        (Form::Hex, Value::Text(text)) => {
            let bytes = unhex(text).ok_or("is not hexadecimal")?;
            if !bytes.is_empty() {
                put_chunk(number, &bytes, out);
            }
        }
        (Form::Any, value) => {
            let mut content = Vec::new();
            put_any(value, &mut content)?;
            put_chunk(number, &content, out);
        }
        (Form::Double, Value::Float(value)) => {
            if value.to_bits() != 0 {
                put_fixed64(number, value.to_bits(), out);
            }
        }
        (Form::OptionalDouble | Form::EitherDouble, Value::Float(value)) => {
            put_fixed64(number, value.to_bits(), out);
        }
        (Form::EitherInt, Value::Int(value)) => put_fixed64(number, value.cast_unsigned(), out),
        (Form::Fixed64, Value::Int(value)) => {
            if *value != 0 {
                put_fixed64(number, value.cast_unsigned(), out);
            }
        }
        (Form::Fixed64s | Form::Varints | Form::Doubles, Value::List(list)) => {
            put_numbers(number, field.form, list, out)?;
        }
        (Form::Attributes, Value::Map(map)) => put_map(number, map, DEEPEST, out)?,
        (Form::Message(shape), Value::Map(map)) => put_inner(number, shape, map, out)?,
        (Form::Messages(shape), Value::List(list)) => {
            for value in list {
                let Value::Map(map) = value else {
                    return Err("is not a list of maps");
                };
                put_inner(number, shape, map, out)?;
            }
        }
        (form, value) => put_small(number, form, value, out)?,
    }
    Ok(())
}

/// Numbers that protobuf leaves out if they are 0.
fn put_small(number: u32, form: Form, value: &Value, out: &mut Vec<u8>) -> Result<(), Problem> {
    const RANGE: Problem = "is out of range";
    let encoded = match (form, value) {
        // Negative ones are extended to 64 bits, as every encoder does.
        (Form::Int32 | Form::Words(_), Value::Int(value)) => {
            let value = i32::try_from(*value).map_err(|_too_big| RANGE)?;
            i64::from(value).cast_unsigned()
        }
        (Form::Words(words), Value::Text(word)) => {
            let place = words.iter().position(|own| own == word);
            place.ok_or("is not a word that is known")? as u64 + 1
        }
        (Form::Zigzag, Value::Int(value)) => {
            let value = i32::try_from(*value).map_err(|_too_big| RANGE)?;
            (value << 1 ^ value >> 31).cast_unsigned().into()
        }
        (Form::Uint32, Value::Int(value)) => {
            u32::try_from(*value).map_err(|_too_big| RANGE)?.into()
        }
        (Form::Bool, Value::Bool(answer)) => u64::from(*answer),
        (Form::Fixed32, Value::Int(value)) => {
            let value = u32::try_from(*value).map_err(|_too_big| RANGE)?;
            if value != 0 {
                put_tag(number, WireType::Fixed32, out);
                out.extend_from_slice(&value.to_le_bytes());
            }
            return Ok(());
        }
        _ => return Err("has a value of the wrong kind"),
    };
    if encoded != 0 {
        put_tag(number, WireType::Varint, out);
        put_varint(encoded, out);
    }
    Ok(())
}

/// Packed, as every encoder does.
fn put_numbers(number: u32, form: Form, list: &[Value], out: &mut Vec<u8>) -> Result<(), Problem> {
    let mut content = Vec::with_capacity(list.len() * 8);
    for value in list {
        match (form, value) {
            (Form::Fixed64s, Value::Int(value)) => content.extend(value.to_le_bytes()),
            (Form::Varints, Value::Int(value)) => put_varint(value.cast_unsigned(), &mut content),
            (Form::Doubles, Value::Float(value)) => content.extend(value.to_le_bytes()),
            _ => return Err("is a list with a value of the wrong kind"),
        }
    }
    if !content.is_empty() {
        put_chunk(number, &content, out);
    }
    Ok(())
}

fn put_inner(
    number: u32,
    shape: &'static Shape,
    map: &Table<Value>,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    put_changed(number, shape, &[], map, out).map_err(|error| error.problem)
}

/// Appends the content of an `AnyValue`.
pub(super) fn put_any(value: &Value, out: &mut Vec<u8>) -> Result<(), Problem> {
    put_any_within(value, DEEPEST, out)
}

fn put_any_within(value: &Value, room: u32, out: &mut Vec<u8>) -> Result<(), Problem> {
    match value {
        Value::Null => {}
        Value::Text(text) => put_chunk(1, text.as_bytes(), out),
        Value::Bool(answer) => {
            put_tag(2, WireType::Varint, out);
            out.push(u8::from(*answer));
        }
        Value::Int(number) => {
            put_tag(3, WireType::Varint, out);
            put_varint(number.cast_unsigned(), out);
        }
        Value::Float(number) => put_fixed64(4, number.to_bits(), out),
        Value::List(list) => {
            let room = room.checked_sub(2).ok_or("is nested too deeply")?;
            let mut content = Vec::new();
            for value in list {
                let mut inner = Vec::new();
                put_any_within(value, room, &mut inner)?;
                put_chunk(1, &inner, &mut content);
            }
            put_chunk(5, &content, out);
        }
        Value::Map(map) => {
            let room = room.checked_sub(3).ok_or("is nested too deeply")?;
            let mut content = Vec::new();
            put_map(1, map, room, &mut content)?;
            put_chunk(6, &content, out);
        }
        Value::Bytes(bytes) => put_chunk(7, bytes, out),
    }
    Ok(())
}

/// Each entry as a field with a `KeyValue`.
fn put_map(number: u32, map: &Table<Value>, room: u32, out: &mut Vec<u8>) -> Result<(), Problem> {
    for (key, value) in map {
        let (mut inner, mut content) = (Vec::new(), Vec::new());
        put_any_within(value, room, &mut inner)?;
        put_text(1, key, &mut content);
        put_chunk(2, &inner, &mut content);
        put_chunk(number, &content, out);
    }
    Ok(())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    rest.is_empty()
        .then(|| pairs.iter().map(byte).collect())
        .flatten()
}
