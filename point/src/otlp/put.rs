//! Writes the primitives of the protobuf encoding.

use super::cursor::WireType;

/// The bytes that `value` takes as a varint.
pub(super) const fn varint_length(value: usize) -> usize {
    let bits = usize::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(super) fn put_tag(number: u32, wire_type: WireType, out: &mut Vec<u8>) {
    let wire_type = match wire_type {
        WireType::Varint => 0,
        WireType::Fixed64 => 1,
        WireType::Length => 2,
        WireType::Fixed32 => 5,
    };
    put_varint(u64::from(number) << 3 | wire_type, out);
}

/// A field of bytes, a text or a message.
pub(super) fn put_chunk(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_tag(number, WireType::Length, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A text, unless it is empty.
pub(super) fn put_text(number: u32, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        put_chunk(number, text.as_bytes(), out);
    }
}

pub(super) fn put_fixed64(number: u32, value: u64, out: &mut Vec<u8>) {
    put_tag(number, WireType::Fixed64, out);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A message whose content comes next, of about `length` bytes.
pub(super) fn open(number: u32, length: usize, out: &mut Vec<u8>) -> Opened {
    put_tag(number, WireType::Length, out);
    let room = varint_length(length);
    let at = out.len();
    out.resize(at + room, 0);
    Opened { at, room }
}

/// A message without its length yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened {
    at: usize,
    room: usize,
}

impl Opened {
    /// Its content is complete. Moves it only if the guess of its length was wrong by a factor of 128.
    pub(super) fn close(self, out: &mut Vec<u8>) {
        let Self { at, room } = self;
        let mut length = out.len() - at - room;
        let needed = varint_length(length);
        if needed != room {
            out.splice(at..at + room, std::iter::repeat_n(0, needed));
        }
        for place in 0..needed {
            let more = if place + 1 < needed { 0x80 } else { 0 };
            out[at + place] = length.to_le_bytes()[0] & 0x7f | more;
            length >>= 7;
        }
    }
}
