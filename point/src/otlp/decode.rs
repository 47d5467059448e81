//! From messages to tags and fields.

use std::sync::Arc;

use super::{
    AnyValue, Attributes,
    fields::{Fields, Numbers, Raw},
    shape::{self, ATTRIBUTES, Form, Shape, Slot},
};
use crate::{Table, Text, Value};

/// Tags and fields that most Points have room for without moving them.
const USUAL: usize = 12;

/// What a message says of a Point.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) name: Text,
    pub(super) time: u64,
    pub(super) start: u64,
    pub(super) tags: Table<Text>,
    pub(super) attributes: Table<Value>,
    pub(super) fields: Table<Value>,
}

impl Parts {
    /// All of `message`.
    pub(super) fn of(shape: &'static Shape, message: &[u8]) -> Self {
        let mut parts = Self {
            fields: Table::with_capacity(USUAL),
            ..Self::default()
        };
        for name in shape::always(shape) {
            parts.fields.set(Text::new_static(name), 0);
        }
        parts.read(shape, message);
        parts
    }

    /// Of `message` only what is cheap, and tags and attributes: for who knows the fields.
    pub(super) fn without_fields(shape: &'static Shape, message: &[u8]) -> Self {
        let mut parts = Self::default();
        for (number, raw) in Fields::of(message) {
            if let Some((_, field)) = shape.find(number) {
                parts.read_slot(field.slot, raw);
            }
        }
        if let Some(field) = shape.attributes() {
            parts.read_attributes(Attributes::of(field.number, message));
        }
        parts
    }

    fn read_slot(&mut self, slot: Slot, raw: Raw<'_>) {
        match slot {
            Slot::Name => self.name = Text::new(raw.text()),
            Slot::Time => self.time = raw.fixed64(),
            Slot::Start => self.start = raw.fixed64(),
            Slot::Attributes | Slot::Inline(_) | Slot::Field(_) => {}
        }
    }

    /// Text becomes tags, all else attributes; of several with one name the last counts.
    fn read_attributes(&mut self, attributes: Attributes<'_>) {
        let (mut tags, mut others) = (Vec::with_capacity(USUAL), Vec::new());
        for attribute in attributes {
            let key = Text::new(attribute.key);
            match attribute.value {
                AnyValue::Text(text) => tags.push((key, Text::new(text))),
                other => others.push((key, value(other))),
            }
        }
        self.tags = tags.into_iter().collect();
        self.attributes = others.into_iter().collect();
    }

    /// All fields of `message`.
    fn read(&mut self, shape: &'static Shape, message: &[u8]) {
        // All at once: one by one they would be sorted again and again.
        let mut attributes = None;
        for (number, raw) in Fields::of(message) {
            let Some((_, field)) = shape.find(number) else {
                continue;
            };
            match field.slot {
                slot @ (Slot::Name | Slot::Time | Slot::Start) => self.read_slot(slot, raw),
                Slot::Attributes => attributes = Some(field),
                Slot::Inline(inner) => self.read(inner, raw.bytes()),
                Slot::Field(_) if matches!(field.form, Form::Attributes) => {
                    attributes = Some(field)
                }
                Slot::Field(name) => read_field(name, field.form, raw, &mut self.fields),
            }
        }
        let Some(field) = attributes else {
            return;
        };
        let all = Attributes::of(field.number, message);
        match field.slot {
            Slot::Field(name) => drop(self.fields.set(Text::new_static(name), table(all))),
            _ => self.read_attributes(all),
        }
    }

    /// The fields with the attributes among them.
    pub(super) fn into_fields(mut self) -> Table<Value> {
        if !self.attributes.is_empty() {
            self.fields
                .set(Text::new_static(ATTRIBUTES), self.attributes);
        }
        self.fields
    }
}

/// All fields of a message inside another.
pub(super) fn map(shape: &'static Shape, message: &[u8]) -> Table<Value> {
    let mut parts = Parts::default();
    parts.read(shape, message);
    parts.fields
}

fn read_field(name: &'static str, form: Form, raw: Raw<'_>, fields: &mut Table<Value>) {
    match form {
        Form::Messages(shape) => {
            let message = Value::Map(map(shape, raw.bytes()));
            extend(name, std::iter::once(message), fields);
        }
        Form::Message(shape) => {
            // In parts they are one message.
            let mut parts = Parts::default();
            if let Some(Value::Map(before)) = fields.remove(name) {
                parts.fields = before;
            }
            parts.read(shape, raw.bytes());
            fields.set(Text::new_static(name), parts.fields);
        }
        Form::Fixed64s => {
            let numbers = Numbers::fixed64s(std::iter::once(raw));
            extend(name, numbers.map(integer), fields);
        }
        Form::Varints => {
            let numbers = Numbers::varints(std::iter::once(raw));
            extend(name, numbers.map(integer), fields);
        }
        Form::Doubles => {
            let numbers = Numbers::fixed64s(std::iter::once(raw));
            let double = |bits| Value::Float(f64::from_bits(bits));
            extend(name, numbers.map(double), fields);
        }
        form => match scalar(form, raw) {
            Some(value) => {
                fields.set(Text::new_static(name), value);
            }
            None => {
                fields.remove(name);
            }
        },
    }
}

/// A value that is no list and no message; `None` for what protobuf does not tell from absence.
fn scalar(form: Form, raw: Raw<'_>) -> Option<Value> {
    let number = |number: i64| (number != 0).then_some(Value::Int(number));
    match form {
        Form::Text => Some(raw.text())
            .filter(|text| !text.is_empty())
            .map(|text| Value::Text(Text::new(text))),
        Form::Hex => Some(raw.bytes())
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| Value::Text(hex(bytes))),
        Form::Int32 => number(raw.varint32().cast_signed().into()),
        Form::Uint32 => number(raw.varint32().into()),
        Form::Zigzag => number(raw.zigzag().into()),
        Form::Fixed32 => number(raw.fixed32().into()),
        Form::Fixed64 => number(raw.fixed64().cast_signed()),
        Form::Bool => (raw.varint() != 0).then_some(Value::Bool(true)),
        Form::Double => (raw.fixed64() != 0).then_some(Value::Float(raw.double())),
        Form::OptionalDouble | Form::EitherDouble => Some(Value::Float(raw.double())),
        Form::EitherInt => Some(integer(raw.fixed64())),
        Form::Words(words) => {
            let code = raw.varint32().cast_signed();
            let word = usize::try_from(code)
                .ok()
                .and_then(|code| words.get(code.checked_sub(1)?));
            match word {
                Some(word) => Some(Value::Text(Text::new_static(word))),
                None => number(code.into()),
            }
        }
        Form::Any => {
            let mut read = AnyValue::Empty;
            read.read(raw.bytes());
            Some(value(read))
        }
        Form::Fixed64s
        | Form::Varints
        | Form::Doubles
        | Form::Attributes
        | Form::Message(_)
        | Form::Messages(_) => None,
    }
}

/// What is above 2^63 becomes negative; written back it is the same.
fn integer(bits: u64) -> Value {
    Value::Int(bits.cast_signed())
}

fn extend(name: &'static str, values: impl Iterator<Item = Value>, fields: &mut Table<Value>) {
    if let Some(list) = fields.list(Text::new_static(name)) {
        list.extend(values);
    }
}

/// The attributes by name; of several with one name the last counts.
pub(super) fn table(attributes: Attributes<'_>) -> Table<Value> {
    attributes
        .map(|attribute| (Text::new(attribute.key), value(attribute.value)))
        .collect()
}

/// The attribute `key` if it is text; of several the last counts.
pub(super) fn text<'a>(attributes: Attributes<'a>, key: &str) -> Option<&'a str> {
    let found = attributes.filter(|attribute| attribute.key == key);
    found
        .filter_map(|attribute| match attribute.value {
            AnyValue::Text(text) => Some(text),
            _ => None,
        })
        .last()
}

/// A copy of the value. What came over the wire was checked not to nest too deeply.
pub(super) fn value(value: AnyValue<'_>) -> Value {
    match value {
        AnyValue::Empty => Value::Null,
        AnyValue::Text(text) => Value::Text(Text::new(text)),
        AnyValue::Bool(answer) => Value::Bool(answer),
        AnyValue::Int(number) => Value::Int(number),
        AnyValue::Double(number) => Value::Float(number),
        AnyValue::Array(values) => Value::List(values.map(self::value).collect()),
        AnyValue::Map(values) => Value::Map(table(values)),
        AnyValue::Bytes(bytes) => Value::Bytes(Arc::from(bytes)),
    }
}

/// As lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> Text {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        digits.push(char::from(DIGITS[usize::from(byte >> 4)]));
        digits.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    Text::new(digits)
}
