//! Attributes after an edit: the order of the wire, changes in place, what is new at the end.

use std::collections::HashSet;

use super::{View, value::put_any};
use crate::{
    Table, Value,
    otlp::{
        AnyValue, Attribute, Attributes, EncodeError, decode,
        fields::Fields,
        put::{put_chunk, put_text},
    },
};

/// How a list of attributes changes.
pub(super) struct Changes<'a> {
    old: View<'a>,
    new: View<'a>,
    /// Keys that were changed and are written; and whether as text.
    written: HashSet<(bool, &'a str)>,
}

/// What an attribute becomes.
enum New<'a> {
    Text(&'a str),
    Value(&'a Value),
}

impl<'a> Changes<'a> {
    pub(super) fn new(old: View<'a>, new: View<'a>) -> Self {
        Self {
            old,
            new,
            written: HashSet::new(),
        }
    }

    /// The attribute that is encoded as `message` in the field `whole`. One that came several times with one name is
    /// copied as often if it was not changed, else written once.
    pub(super) fn put(
        &mut self,
        number: u32,
        whole: &[u8],
        message: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let Attribute { key, value } = Attribute::read(message);
        let tags = (self.old.tags).filter(|_| matches!(value, AnyValue::Text(_)));
        let (same, new) = match tags {
            Some(tags) => {
                let new = self.new.tags.and_then(|tags| tags.get(key));
                (tags.get(key) == new, new.map(|text| New::Text(text)))
            }
            None => {
                let new = self.new.attributes.get(key);
                (
                    is_same(self.old.attributes.get(key), new),
                    new.map(New::Value),
                )
            }
        };
        match new {
            _ if same => out.extend_from_slice(whole),
            Some(new) if self.written.insert((tags.is_some(), key)) => {
                put_attribute(number, message, key, new, out)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What is new.
    pub(super) fn append(&self, number: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        for (key, text) in self.new.tags.into_iter().flatten() {
            if self.old.tags.is_none_or(|old| old.get(key).is_none()) {
                put_attribute(number, &[], key, New::Text(text), out)?;
            }
        }
        for (key, value) in self.new.attributes {
            if self.old.attributes.get(key).is_none() {
                put_attribute(number, &[], key, New::Value(value), out)?;
            }
        }
        Ok(())
    }
}

fn is_same(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is_same(other),
        (None, None) => true,
        _ => false,
    }
}

/// A key and its new value. What else `message`, the attribute before, has stays.
fn put_attribute(
    number: u32,
    message: &[u8],
    key: &str,
    new: New<'_>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut value = Vec::new();
    match new {
        New::Text(text) => put_chunk(1, text.as_bytes(), &mut value),
        New::Value(own) => {
            put_any(own, &mut value).map_err(|problem| EncodeError::new(key, problem))?;
        }
    }
    let mut content = Vec::with_capacity(key.len() + value.len() + 8);
    if message.is_empty() {
        put_text(1, key, &mut content);
    }
    for field in Fields::of(message)
        .placed()
        .filter(|field| field.number != 2)
    {
        content.extend_from_slice(&message[field.from..field.to]);
    }
    put_chunk(2, &value, &mut content);
    put_chunk(number, &content, out);
    Ok(())
}

/// Appends the message `wire`, whose field `number` is attributes, with these attributes instead.
pub(in crate::otlp) fn attributes(
    number: u32,
    wire: &[u8],
    new: &Table<Value>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let old = decode::table(Attributes::of(number, wire));
    let none = Table::default();
    let view = |attributes| View {
        attributes,
        ..View::inner(&none, &none)
    };
    let mut changes = Changes::new(view(&old), view(new));
    for field in Fields::of(wire).placed() {
        let whole = &wire[field.from..field.to];
        if field.number == number {
            changes.put(number, whole, field.raw.bytes(), out)?;
        } else {
            out.extend_from_slice(whole);
        }
    }
    changes.append(number, out)
}
