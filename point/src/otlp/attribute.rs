//! Attributes and their values, borrowed from the request.

use super::fields::{Fields, Nested, Occurrences};

/// A name and a value.
#[derive(Debug, Clone)]
pub struct Attribute<'a> {
    /// The name; not always unique in its list.
    pub key: &'a str,
    /// The value.
    pub value: AnyValue<'a>,
}

/// What an attribute can be.
#[derive(Debug, Clone)]
pub enum AnyValue<'a> {
    /// None was given.
    Empty,
    /// Text.
    Text(&'a str),
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Double(f64),
    /// A list of values.
    Array(Array<'a>),
    /// Values by name.
    Map(Attributes<'a>),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// Iterates over attributes.
#[derive(Debug, Clone)]
pub struct Attributes<'a>(List<'a>);

/// Where attributes stand: directly in a message, or in messages inside it.
#[derive(Debug, Clone)]
enum List<'a> {
    Direct(Occurrences<'a>),
    Nested(Nested<'a>),
}

/// Iterates over the values of a list.
#[derive(Debug, Clone)]
pub struct Array<'a>(Occurrences<'a>);

impl<'a> Attributes<'a> {
    /// Those in field `number` of `message`.
    pub(super) const fn of(number: u32, message: &'a [u8]) -> Self {
        Self(List::Direct(Occurrences::of(number, message)))
    }

    /// Those in field `number` of the message in field `outer` of `message`.
    pub(super) const fn nested(outer: u32, number: u32, message: &'a [u8]) -> Self {
        Self(List::Nested(Nested::of(outer, number, message)))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let raw = match &mut self.0 {
            List::Direct(list) => list.next(),
            List::Nested(list) => list.next(),
        }?;
        Some(Attribute::read(raw.bytes()))
    }
}

impl<'a> Attribute<'a> {
    #[inline]
    pub(super) fn read(message: &'a [u8]) -> Self {
        Self::read_short(message).unwrap_or_else(|| Self::read_any(message))
    }

    /// A key and a value in this order, each below 128 bytes: what SDKs write nearly always. Saves half the time.
    #[inline]
    fn read_short(message: &'a [u8]) -> Option<Self> {
        let ([0x0a, key_length @ ..0x80], rest) = message.split_first_chunk::<2>()? else {
            return None;
        };
        let (key, rest) = rest.split_at_checked(usize::from(*key_length))?;
        let ([0x12, length @ ..0x80], content) = rest.split_first_chunk::<2>()? else {
            return None;
        };
        if usize::from(*length) != content.len() {
            return None;
        }
        let value = match content {
            [0x0a, length @ ..0x80, text @ ..] if usize::from(*length) == text.len() => {
                AnyValue::Text(std::str::from_utf8(text).ok()?)
            }
            [0x10, answer @ ..0x80] => AnyValue::Bool(*answer != 0),
            [0x18, number @ ..0x80] => AnyValue::Int(i64::from(*number)),
            content => {
                let mut value = AnyValue::Empty;
                value.read(content);
                value
            }
        };
        let key = std::str::from_utf8(key).ok()?;
        Some(Self { key, value })
    }

    fn read_any(message: &'a [u8]) -> Self {
        let mut attribute = Self {
            key: "",
            value: AnyValue::Empty,
        };
        for (number, raw) in Fields::of(message) {
            match number {
                1 => attribute.key = raw.text(),
                2 => attribute.value.read(raw.bytes()),
                _ => {}
            }
        }
        attribute
    }
}

impl<'a> Iterator for Array<'a> {
    type Item = AnyValue<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut value = AnyValue::Empty;
        value.read(self.0.next()?.bytes());
        Some(value)
    }
}

impl<'a> AnyValue<'a> {
    /// Of several alternatives in one message the last counts.
    pub(super) fn read(&mut self, message: &'a [u8]) {
        #[expect(
            clippy::cast_possible_wrap,
            reason = "how protobuf encodes negative numbers"
        )]
        for (number, raw) in Fields::of(message) {
            *self = match number {
                1 => Self::Text(raw.text()),
                2 => Self::Bool(raw.varint() != 0),
                3 => Self::Int(raw.varint() as i64),
                4 => Self::Double(raw.double()),
                5 => Self::Array(Array(Occurrences::of(1, raw.bytes()))),
                6 => Self::Map(Attributes::of(1, raw.bytes())),
                7 => Self::Bytes(raw.bytes()),
                // An index into a table that only profiles have.
                8 => Self::Empty,
                _ => continue,
            };
        }
    }
}
