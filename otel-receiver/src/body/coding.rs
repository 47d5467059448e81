//! Compression: what is known, and decompression as the bytes come.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::Buffer;
use crate::refusal::Refusal;

/// A window and a buffer of 32 KiB each, and tables.
const GZIP_STATE: usize = 80 * 1024;
/// 8 MiB, the most that RFC 9659 lets a sender ask for.
const ZSTD_WINDOW_LOG: u32 = 23;
const ZSTD_STEP: usize = 32 * 1024;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    /// What clients may choose from, besides nothing.
    pub(crate) const KNOWN: &'static str = "gzip, zstd";

    /// As the value of a header; `None` is no header.
    pub(crate) fn named(name: Option<&[u8]>) -> Result<Self, Refusal> {
        let name = name.unwrap_or_default().trim_ascii();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if name.is_empty() || is("identity") {
            Ok(Self::Identity)
        } else if is("gzip") {
            Ok(Self::Gzip)
        } else if is("zstd") {
            Ok(Self::Zstd)
        } else {
            Err(Refusal::Compression { known: Self::KNOWN })
        }
    }
}

/// Decompresses what is pushed into a buffer.
pub(super) enum Decoder {
    Identity(Buffer),
    Gzip(Box<MultiGzDecoder<Buffer>>),
    Zstd(Box<Zstd>),
}

impl Decoder {
    pub(super) fn new(coding: Coding, mut buffer: Buffer) -> Result<Self, Refusal> {
        Ok(match coding {
            Coding::Identity => Self::Identity(buffer),
            Coding::Gzip => {
                buffer.charge(GZIP_STATE)?;
                Self::Gzip(Box::new(MultiGzDecoder::new(buffer)))
            }
            Coding::Zstd => Self::Zstd(Box::new(Zstd::new(buffer)?)),
        })
    }

    pub(super) fn push(&mut self, part: &[u8]) -> Result<(), Refusal> {
        match self {
            Self::Identity(buffer) => buffer.push(part),
            Self::Gzip(decoder) => {
                let written = decoder.write_all(part);
                written.map_err(|source| gzip_refusal(decoder, source))
            }
            Self::Zstd(decoder) => decoder.push(part),
        }
    }

    pub(super) fn finish(self) -> Result<Buffer, Refusal> {
        match self {
            Self::Identity(buffer) => Ok(buffer),
            Self::Gzip(mut decoder) => {
                let finished = decoder.try_finish();
                finished.map_err(|source| gzip_refusal(&mut decoder, source))?;
                decoder
                    .finish()
                    .map_err(|source| compressed("gzip", source))
            }
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

/// Either the output was refused, or the input was wrong.
fn gzip_refusal(decoder: &mut MultiGzDecoder<Buffer>, source: io::Error) -> Refusal {
    let refused = decoder.get_mut().take_refusal();
    refused.unwrap_or_else(|| compressed("gzip", source))
}

fn compressed(coding: &'static str, source: io::Error) -> Refusal {
    Refusal::Compressed { coding, source }
}

fn zstd_error(code: usize) -> Refusal {
    compressed("zstd", io::Error::other(get_error_name(code)))
}

pub(super) struct Zstd {
    context: DCtx<'static>,
    step: Box<[u8]>,
    /// What the context takes, as far as it is charged for.
    charged: usize,
    /// Whether the last frame has come to its end.
    complete: bool,
    buffer: Buffer,
}

impl Zstd {
    fn new(buffer: Buffer) -> Result<Self, Refusal> {
        let mut context = DCtx::try_create().ok_or(Refusal::Memory)?;
        context
            .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))
            .map_err(zstd_error)?;
        let mut zstd = Self {
            context,
            step: vec![0; ZSTD_STEP].into_boxed_slice(),
            charged: 0,
            complete: false,
            buffer,
        };
        zstd.charge()?;
        Ok(zstd)
    }

    fn push(&mut self, part: &[u8]) -> Result<(), Refusal> {
        if part.is_empty() {
            // It would be taken for the beginning of another frame.
            return Ok(());
        }
        let mut input = InBuffer::around(part);
        loop {
            let mut output = OutBuffer::around(&mut self.step[..]);
            let hint = self
                .context
                .decompress_stream(&mut output, &mut input)
                .map_err(zstd_error)?;
            let full = output.pos() == output.capacity();
            self.buffer.push(output.as_slice())?;
            self.complete = hint == 0;
            self.charge()?;
            if input.pos() == part.len() && (self.complete || !full) {
                return Ok(());
            }
        }
    }

    /// The window is allocated when the header of a frame asks for it, so it is charged for after that.
    fn charge(&mut self) -> Result<(), Refusal> {
        let size = self.context.sizeof() + ZSTD_STEP;
        if size > self.charged {
            self.buffer.charge(size - self.charged)?;
            self.charged = size;
        }
        Ok(())
    }

    fn finish(self) -> Result<Buffer, Refusal> {
        if self.complete {
            Ok(self.buffer)
        } else {
            Err(compressed("zstd", io::ErrorKind::UnexpectedEof.into()))
        }
    }
}
