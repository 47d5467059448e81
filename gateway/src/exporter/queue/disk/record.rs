//! One record: a header with its own checksum, then a request as it came.

use std::io;

use bytes::{Buf as _, BufMut as _};
use weir_point::otlp::Signal;

/// Length of a header. Layout, big-endian: checksum of the rest of the header (4), checksum of the
/// content (4), length of the content (4), signal (1), zero (3), items (8). Checksums are CRC-32.
pub(super) const HEADER: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    signal: u8,
    checksum: u32,
    /// Of the content, in bytes.
    pub(super) length: u64,
    pub(super) items: u64,
}

/// What is wrong with a part of a segment.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("the last record is cut short")]
    Cut,
    #[error("there is no record where one should begin")]
    Header,
    #[error("a record is not what was written")]
    Content,
    #[error("it cannot be read")]
    Read(#[from] io::Error),
}

impl Header {
    pub(super) fn of(signal: Signal, items: u64, content: &[u8]) -> io::Result<Self> {
        // The length is 32 bits on disk; gRPC cannot carry more either.
        let length = u32::try_from(content.len()).map_err(io::Error::other)?;
        Ok(Self {
            signal: signal as u8,
            checksum: crc32fast::hash(content),
            length: length.into(),
            items,
        })
    }

    pub(super) fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut rest = &mut bytes[4..];
        rest.put_u32(self.checksum);
        rest.put_u32(self.length as u32);
        rest.put_u8(self.signal);
        rest.put_bytes(0, 3);
        rest.put_u64(self.items);
        let checksum = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// The header at the start of `bytes`.
    pub(super) fn decode(bytes: &[u8], signal: Signal) -> Result<Self, Damage> {
        let mut bytes = bytes.get(..HEADER).ok_or(Damage::Cut)?;
        let own = bytes.get_u32();
        if crc32fast::hash(bytes) != own {
            return Err(Damage::Header);
        }
        let (checksum, length) = (bytes.get_u32(), bytes.get_u32());
        let found = bytes.get_u8();
        bytes.advance(3);
        let items = bytes.get_u64();
        // Every item takes some bytes; who wrote more of them was not us.
        if found != signal as u8 || items > length.into() {
            return Err(Damage::Header);
        }
        Ok(Self {
            signal: found,
            checksum,
            length: length.into(),
            items,
        })
    }

    /// Whether `content` is what was written.
    pub(super) fn fits(self, content: &[u8]) -> bool {
        crc32fast::hash(content) == self.checksum
    }
}
