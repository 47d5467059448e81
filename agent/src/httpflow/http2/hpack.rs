//! Header compression of HTTP/2 (RFC 7541), for the fields that are looked at.
//!
//! It can begin in the middle of a connection, or go on after a block was lost: what then refers to a field that was
//! not seen is [`Field::Unknown`], until the sender puts it into its table anew. Values of fields that are not looked
//! at are not kept.

use std::collections::VecDeque;

use super::huffman;

/// Default size of the dynamic table (RFC 9113, 6.5.2).
const DEFAULT_SIZE: usize = 4096;
/// The largest that is followed.
const MOST_SIZE: usize = 1 << 16;
/// What an entry counts besides its text (RFC 7541, 4.1).
const ENTRY: usize = 32;

/// A field, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Method,
    Path,
    Authority,
    Host,
    Status,
    ContentType,
    GrpcStatus,
    Traceparent,
    Other,
    /// It was put into the table when nobody looked.
    Unknown,
}

impl Field {
    fn of(name: &[u8]) -> Self {
        match name {
            b":method" => Self::Method,
            b":path" => Self::Path,
            b":authority" => Self::Authority,
            b"host" => Self::Host,
            b":status" => Self::Status,
            b"content-type" => Self::ContentType,
            b"grpc-status" => Self::GrpcStatus,
            b"traceparent" => Self::Traceparent,
            _ => Self::Other,
        }
    }

    /// Of the static table (RFC 7541, appendix A), with its value.
    const fn known(index: usize) -> Option<(Self, &'static [u8])> {
        Some(match index {
            1 => (Self::Authority, b""),
            2 => (Self::Method, b"GET"),
            3 => (Self::Method, b"POST"),
            4 => (Self::Path, b"/"),
            5 => (Self::Path, b"/index.html"),
            8 => (Self::Status, b"200"),
            9 => (Self::Status, b"204"),
            10 => (Self::Status, b"206"),
            11 => (Self::Status, b"304"),
            12 => (Self::Status, b"400"),
            13 => (Self::Status, b"404"),
            14 => (Self::Status, b"500"),
            31 => (Self::ContentType, b""),
            38 => (Self::Host, b""),
            6..=7 | 15..=61 => (Self::Other, b""),
            _ => return None,
        })
    }
}

/// Lengths of the names in the static table, which count in entries made of them; index 0 is none.
#[rustfmt::skip]
const NAME_LENGTHS: [u8; 62] = [
    0, 10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13, 12,
    6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3, 16,
];

/// A block that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

#[derive(Debug)]
struct Entry {
    field: Field,
    /// Empty for fields that are not looked at.
    value: Box<[u8]>,
    name_length: u32,
    /// As it counts in the table.
    size: u32,
}

/// One direction's table.
#[derive(Debug)]
pub(super) struct Hpack {
    /// The youngest first.
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
    /// Whether entries may be missing.
    lossy: bool,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Hpack {
    /// With `lossy`, the connection began earlier.
    pub(super) fn new(lossy: bool) -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            most: DEFAULT_SIZE,
            lossy,
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// A block was not seen: it may have changed the table.
    pub(super) fn lose(&mut self) {
        self.entries.clear();
        self.size = 0;
        self.lossy = true;
    }

    /// Reads a whole header block.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        each: &mut impl FnMut(Field, &[u8]),
    ) -> Result<(), Broken> {
        let read = self.try_decode(block, each).ok_or(Broken);
        if read.is_err() {
            self.lose();
        }
        read
    }

    fn try_decode(&mut self, mut block: &[u8], each: &mut impl FnMut(Field, &[u8])) -> Option<()> {
        while let Some(&first) = block.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                if let Some((field, value)) = Field::known(index) {
                    each(field, value);
                } else {
                    match self.entry(index)? {
                        Some(entry) => each(entry.field, &entry.value),
                        None => each(Field::Unknown, b""),
                    }
                }
            } else if first & 0x60 == 0x20 {
                let most = integer(&mut block, 5)?;
                if most > MOST_SIZE {
                    return None;
                }
                self.most = most;
                self.evict();
            } else {
                let keeps = first & 0x40 != 0;
                self.literal(&mut block, keeps, each)?;
            }
        }
        Some(())
    }

    /// An entry of the dynamic table; `Some(None)` if it was put there when nobody looked.
    fn entry(&self, index: usize) -> Option<Option<&Entry>> {
        let at = index.checked_sub(NAME_LENGTHS.len())?;
        match self.entries.get(at) {
            Some(entry) => Some(Some(entry)),
            None => self.lossy.then_some(None),
        }
    }

    fn literal(
        &mut self,
        block: &mut &[u8],
        keeps: bool,
        each: &mut impl FnMut(Field, &[u8]),
    ) -> Option<()> {
        let index = integer(block, if keeps { 6 } else { 4 })?;
        let (field, name_length) = if index == 0 {
            let mut room = std::mem::take(&mut self.name);
            let name = text(block, &mut room)?;
            let found = (Field::of(name), name.len());
            self.name = room;
            found
        } else if let Some((field, _)) = Field::known(index) {
            (field, usize::from(NAME_LENGTHS[index]))
        } else {
            match self.entry(index)? {
                Some(entry) => (entry.field, entry.name_length as usize),
                None => (Field::Unknown, 0),
            }
        };
        let mut room = std::mem::take(&mut self.value);
        let value = text(block, &mut room)?;
        each(field, value);
        if keeps {
            self.keep(field, name_length, value);
        }
        self.value = room;
        Some(())
    }

    fn keep(&mut self, field: Field, name_length: usize, value: &[u8]) {
        let size = name_length + value.len() + ENTRY;
        let kept = match field {
            Field::Other | Field::Unknown => &[],
            _ => value,
        };
        self.size += size;
        self.entries.push_front(Entry {
            field,
            value: kept.into(),
            name_length: name_length as u32,
            size: size as u32,
        });
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.most {
            let Some(oldest) = self.entries.pop_back() else {
                return;
            };
            self.size -= oldest.size as usize;
        }
    }
}

/// An integer whose first byte has `prefix` bits for it (RFC 7541, 5.1).
fn integer(block: &mut &[u8], prefix: u32) -> Option<usize> {
    let (first, rest) = block.split_first()?;
    *block = rest;
    let most = (1usize << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value < most {
        return Some(value);
    }
    for shift in [0, 7, 14, 21] {
        let (byte, rest) = block.split_first()?;
        *block = rest;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    // Nothing in a block is as long.
    None
}

/// A string (RFC 7541, 5.2), decoded into `room` where it is coded.
fn text<'b, 'a: 'b>(block: &mut &'a [u8], room: &'b mut Vec<u8>) -> Option<&'b [u8]> {
    let coded = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    if !coded {
        return Some(text);
    }
    room.clear();
    huffman::decode(text, room)?;
    Some(room)
}

#[cfg(test)]
mod tests;
