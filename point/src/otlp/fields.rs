//! The fields of messages that were checked before: reading never fails, it ends.

use super::cursor::{Cursor, WireType};

/// A value as encoded.
#[derive(Debug, Clone, Copy)]
pub(super) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Raw<'a> {
    pub(super) fn varint(self) -> u64 {
        if let Self::Varint(value) = self {
            value
        } else {
            0
        }
    }

    /// As decoders read 32-bit integers.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "as every protobuf decoder does"
    )]
    pub(super) fn varint32(self) -> u32 {
        self.varint() as u32
    }

    /// The number that protobuf encodes so that small negative ones stay short.
    pub(super) fn zigzag(self) -> i32 {
        let encoded = self.varint32();
        (encoded >> 1).cast_signed() ^ -(encoded & 1).cast_signed()
    }

    pub(super) fn fixed64(self) -> u64 {
        if let Self::Fixed64(value) = self {
            value
        } else {
            0
        }
    }

    pub(super) fn fixed32(self) -> u32 {
        if let Self::Fixed32(value) = self {
            value
        } else {
            0
        }
    }

    pub(super) fn double(self) -> f64 {
        f64::from_bits(self.fixed64())
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        if let Self::Bytes(bytes) = self {
            bytes
        } else {
            &[]
        }
    }

    pub(super) fn text(self) -> &'a str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }
}

/// All fields of a message with their numbers.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a>(Cursor<'a>);

impl<'a> Fields<'a> {
    pub(super) const fn of(message: &'a [u8]) -> Self {
        Self(Cursor::new(message))
    }

    /// Where the next field begins.
    pub(super) const fn at(&self) -> usize {
        self.0.at
    }

    /// The next field with its place in the message.
    #[inline]
    pub(super) fn next_placed(&mut self) -> Option<Placed<'a>> {
        let from = self.at();
        let (number, raw) = self.next()?;
        Some(Placed {
            number,
            raw,
            from,
            to: self.at(),
        })
    }

    /// The rest of the fields with their places in the message.
    pub(super) fn placed(mut self) -> impl Iterator<Item = Placed<'a>> {
        std::iter::from_fn(move || self.next_placed())
    }
}

/// A field and where it stands, tag included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) number: u32,
    pub(super) raw: Raw<'a>,
    pub(super) from: usize,
    pub(super) to: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Raw<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (number, wire_type) = self.0.tag().ok()?;
        let raw = match wire_type {
            WireType::Varint => Raw::Varint(self.0.varint().ok()?),
            WireType::Fixed64 => Raw::Fixed64(u64::from_le_bytes(self.0.fixed().ok()?)),
            WireType::Length => Raw::Bytes(self.0.chunk().ok()?),
            WireType::Fixed32 => Raw::Fixed32(u32::from_le_bytes(self.0.fixed().ok()?)),
        };
        Some((number, raw))
    }
}

/// Every occurrence of the field `number`.
#[derive(Debug, Clone)]
pub(super) struct Occurrences<'a> {
    fields: Fields<'a>,
    number: u32,
}

impl<'a> Occurrences<'a> {
    pub(super) const fn of(number: u32, message: &'a [u8]) -> Self {
        Self {
            fields: Fields::of(message),
            number,
        }
    }
}

impl<'a> Iterator for Occurrences<'a> {
    type Item = Raw<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let number = self.number;
        self.fields
            .find_map(|(own, raw)| (own == number).then_some(raw))
    }
}

/// Every field `number` of a message that itself is field `outer`. Where a message that is no
/// list comes several times, they are one, as protobuf has it.
#[derive(Debug, Clone)]
pub(super) struct Nested<'a> {
    outer: Occurrences<'a>,
    inner: Occurrences<'a>,
}

impl<'a> Nested<'a> {
    pub(super) const fn of(outer: u32, number: u32, message: &'a [u8]) -> Self {
        Self {
            outer: Occurrences::of(outer, message),
            inner: Occurrences::of(number, &[]),
        }
    }
}

impl<'a> Iterator for Nested<'a> {
    type Item = Raw<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(raw) = self.inner.next() {
                return Some(raw);
            }
            self.inner = Occurrences::of(self.inner.number, self.outer.next()?.bytes());
        }
    }
}

/// Lists of numbers, packed or not, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Numbers<'a, I> {
    lists: I,
    packed: Cursor<'a>,
    wire_type: WireType,
}

impl<'a, I: Iterator<Item = Raw<'a>>> Numbers<'a, I> {
    pub(super) const fn varints(lists: I) -> Self {
        Self {
            lists,
            packed: Cursor::new(&[]),
            wire_type: WireType::Varint,
        }
    }

    pub(super) const fn fixed64s(lists: I) -> Self {
        Self {
            lists,
            packed: Cursor::new(&[]),
            wire_type: WireType::Fixed64,
        }
    }
}

impl<'a, I: Iterator<Item = Raw<'a>>> Iterator for Numbers<'a, I> {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        while self.packed.at_end() {
            match self.lists.next()? {
                Raw::Varint(number) | Raw::Fixed64(number) => return Some(number),
                Raw::Bytes(bytes) => self.packed = Cursor::new(bytes),
                Raw::Fixed32(_) => {}
            }
        }
        match self.wire_type {
            WireType::Fixed64 => self.packed.fixed().ok().map(u64::from_le_bytes),
            _ => self.packed.varint().ok(),
        }
    }
}
