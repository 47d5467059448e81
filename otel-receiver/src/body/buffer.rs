//! A message that grows as it comes in, up to its limit and as far as there is memory.

use std::io;

use crate::{budget::Charge, refusal::Refusal};

/// Most messages are smaller than a few of these. What a client announces is taken only as it comes.
const FIRST: usize = 64 * 1024;

/// The bytes so far.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    charge: Charge,
    limit: usize,
    /// The size at the end, where that is known.
    expected: usize,
    /// Why [`io::Write`] failed.
    refused: Option<Refusal>,
}

impl Buffer {
    /// At most `limit` bytes, at the expense of `charge`.
    pub(crate) fn new(limit: usize, charge: Charge) -> Self {
        Self {
            bytes: Vec::new(),
            charge,
            limit,
            expected: limit,
            refused: None,
        }
    }

    /// It will be this large.
    pub(crate) fn expect(&mut self, size: usize) -> Result<(), Refusal> {
        if size > self.limit {
            return Err(Refusal::TooLarge { limit: self.limit });
        }
        self.expected = size;
        Ok(())
    }

    /// Makes room for `more` bytes.
    pub(crate) fn reserve(&mut self, more: usize) -> Result<(), Refusal> {
        let length = self.bytes.len();
        let needed = length.saturating_add(more);
        let capacity = self.bytes.capacity();
        if needed <= capacity {
            return Ok(());
        }
        if needed > self.limit {
            return Err(Refusal::TooLarge { limit: self.limit });
        }
        let wanted = capacity.saturating_mul(2).max(FIRST).min(self.expected);
        let wanted = wanted.max(needed);
        self.charge.add(wanted - capacity)?;
        self.bytes.reserve_exact(wanted - length);
        Ok(())
    }

    /// Adds `part`.
    pub(crate) fn push(&mut self, part: &[u8]) -> Result<(), Refusal> {
        self.reserve(part.len())?;
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    /// The bytes, to change in place; what is added must have been reserved.
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Charges for something else that the request needs.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.charge.add(bytes)
    }

    pub(crate) fn take_refusal(&mut self) -> Option<Refusal> {
        self.refused.take()
    }

    /// The message, and what must be kept until nothing of it is in the way of others.
    pub(crate) fn into_parts(mut self) -> (Vec<u8>, Charge) {
        // Whoever keeps it counts its length, not its capacity.
        if self.bytes.capacity() - self.bytes.len() > self.bytes.len() / 8 {
            self.bytes.shrink_to_fit();
        }
        (self.bytes, self.charge)
    }
}

impl io::Write for Buffer {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        match self.push(part) {
            Ok(()) => Ok(part.len()),
            Err(refusal) => {
                self.refused = Some(refusal);
                Err(io::ErrorKind::OutOfMemory.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
