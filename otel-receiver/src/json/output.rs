//! Writing protobuf front to back.

use serde::de::Error;

use crate::{body::Buffer, refusal::Refusal};

/// The wire types of protobuf.
pub(super) const VARINT: u32 = 0;
pub(super) const EIGHT_BYTES: u32 = 1;
pub(super) const LENGTH: u32 = 2;
pub(super) const FOUR_BYTES: u32 = 5;

const LONGEST_VARINT: usize = 10;

/// The message so far.
pub(super) struct Output<'b> {
    buffer: &'b mut Buffer,
    /// Why a write failed.
    refused: Option<Refusal>,
}

impl<'b> Output<'b> {
    pub(super) fn new(buffer: &'b mut Buffer) -> Self {
        Self {
            buffer,
            refused: None,
        }
    }

    /// Fails if a write has.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        self.refused.map_or(Ok(()), Err)
    }

    pub(super) fn tag<E: Error>(&mut self, number: u32, wire_type: u32) -> Result<(), E> {
        self.varint(u64::from(number << 3 | wire_type))
    }

    pub(super) fn varint<E: Error>(&mut self, value: u64) -> Result<(), E> {
        let (bytes, length) = varint(value);
        self.bytes(&bytes[..length])
    }

    pub(super) fn bytes<E: Error>(&mut self, bytes: &[u8]) -> Result<(), E> {
        let pushed = self.buffer.push(bytes);
        self.refuse(pushed)
    }

    /// Writes what `fill` writes as one length-delimited field.
    pub(super) fn nested<E: Error>(
        &mut self,
        number: u32,
        fill: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.tag(number, LENGTH)?;
        // The length goes before the content, but is known only after it. Most are below 128, one byte.
        self.bytes(&[0])?;
        let start = self.buffer.bytes().len();
        fill(self)?;
        let content = self.buffer.bytes().len() - start;
        let (length, size) = varint(content as u64);
        if size > 1 {
            let reserved = self.buffer.reserve(size - 1);
            self.refuse(reserved)?;
        }
        let place = start - 1..start;
        let length = length.into_iter().take(size);
        drop(self.buffer.bytes_mut().splice(place, length));
        Ok(())
    }

    /// Writes what `fill` adds, which is at most `most` bytes.
    pub(super) fn in_place<E: Error>(
        &mut self,
        most: usize,
        fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let reserved = self.buffer.reserve(most);
        self.refuse(reserved)?;
        fill(self.buffer.bytes_mut())
    }

    /// Ends the reading; the error is not seen, because the refusal goes first.
    fn refuse<E: Error>(&mut self, done: Result<(), Refusal>) -> Result<(), E> {
        done.map_err(|refusal| {
            let error = E::custom(&refusal);
            self.refused = Some(refusal);
            error
        })
    }
}

fn varint(mut value: u64) -> ([u8; LONGEST_VARINT], usize) {
    let mut bytes = [0; LONGEST_VARINT];
    let mut length = 0;
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        bytes[length] = if value == 0 { low & 0x7f } else { low | 0x80 };
        length += 1;
        if value == 0 {
            return (bytes, length);
        }
    }
}
