//! Answers that are compressed while they are made.

use std::io::{self, Write as _};

use flate2::{Compression, write::GzEncoder};

use super::negotiate::Coding;

/// Metrics repeat themselves so much that the least effort leaves a tenth.
const ZSTD_LEVEL: i32 = 1;

/// Takes parts of an answer and gives parts of a compressed one.
pub(super) enum Compressor {
    Identity,
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

impl Compressor {
    pub(super) fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Identity => Self::Identity,
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Coding::Zstd => Self::Zstd(zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        })
    }

    /// What can be sent after `part`; can be empty.
    pub(super) fn push(&mut self, part: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(part),
            Self::Gzip(encoder) => {
                encoder.write_all(&part)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Zstd(encoder) => {
                encoder.write_all(&part)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    /// What is left.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(Vec::new()),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}
