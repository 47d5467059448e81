//! Compression: what is known, and decompression as the bytes come.

use std::io::{self, Write};

use flate2::{Decompress, FlushDecompress, Status, write::MultiGzDecoder};
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::Buffer;
use crate::refusal::Refusal;

/// A window and a buffer of 32 KiB each, and tables.
const INFLATE_STATE: usize = 80 * 1024;
/// 8 MiB, the most that RFC 9659 lets a sender ask for.
const ZSTD_WINDOW_LOG: u32 = 23;
/// What is decompressed at a time.
const STEP: usize = 32 * 1024;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    /// In the format of zlib.
    Deflate,
    Zstd,
}

impl Coding {
    /// What clients may choose from, besides nothing.
    pub(crate) const KNOWN: &'static str = "gzip, deflate, zstd";

    /// As the value of a header; `None` is no header.
    pub(crate) fn named(name: Option<&[u8]>) -> Result<Self, Refusal> {
        let name = name.unwrap_or_default().trim_ascii();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if name.is_empty() || is("identity") {
            Ok(Self::Identity)
        } else if is("gzip") {
            Ok(Self::Gzip)
        } else if is("deflate") {
            Ok(Self::Deflate)
        } else if is("zstd") {
            Ok(Self::Zstd)
        } else {
            Err(Refusal::Compression { known: Self::KNOWN })
        }
    }
}

/// Decompresses what is pushed into a buffer.
pub(crate) enum Decoder {
    Identity(Buffer),
    Gzip(Box<MultiGzDecoder<Buffer>>),
    Deflate(Box<Deflate>),
    Zstd(Box<Zstd>),
}

impl Decoder {
    pub(crate) fn new(coding: Coding, mut buffer: Buffer) -> Result<Self, Refusal> {
        Ok(match coding {
            Coding::Identity => Self::Identity(buffer),
            Coding::Gzip => {
                buffer.charge(INFLATE_STATE)?;
                Self::Gzip(Box::new(MultiGzDecoder::new(buffer)))
            }
            Coding::Deflate => Self::Deflate(Box::new(Deflate::new(buffer)?)),
            Coding::Zstd => Self::Zstd(Box::new(Zstd::new(buffer)?)),
        })
    }

    pub(crate) fn push(&mut self, part: &[u8]) -> Result<(), Refusal> {
        match self {
            Self::Identity(buffer) => buffer.push(part),
            Self::Gzip(decoder) => {
                let written = decoder.write_all(part);
                written.map_err(|source| gzip_refusal(decoder, source))
            }
            Self::Deflate(decoder) => decoder.push(part),
            Self::Zstd(decoder) => decoder.push(part),
        }
    }

    pub(crate) fn finish(self) -> Result<Buffer, Refusal> {
        match self {
            Self::Identity(buffer) => Ok(buffer),
            Self::Gzip(mut decoder) => {
                let finished = decoder.try_finish();
                finished.map_err(|source| gzip_refusal(&mut decoder, source))?;
                decoder
                    .finish()
                    .map_err(|source| compressed("gzip", source))
            }
            Self::Deflate(decoder) => decoder.finish(),
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

pub(crate) struct Deflate {
    state: Decompress,
    step: Box<[u8]>,
    /// Whether the stream has come to its end.
    complete: bool,
    buffer: Buffer,
}

impl Deflate {
    fn new(mut buffer: Buffer) -> Result<Self, Refusal> {
        buffer.charge(INFLATE_STATE)?;
        Ok(Self {
            state: Decompress::new(true),
            step: vec![0; STEP].into_boxed_slice(),
            complete: false,
            buffer,
        })
    }

    fn push(&mut self, mut part: &[u8]) -> Result<(), Refusal> {
        loop {
            let (read, written) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(part, &mut self.step, FlushDecompress::None)
                .map_err(|error| compressed("deflate", error.into()))?;
            let [read, written] = [
                self.state.total_in() - read,
                self.state.total_out() - written,
            ]
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX));
            self.buffer.push(&self.step[..written])?;
            part = &part[read..];
            self.complete |= status == Status::StreamEnd;
            if self.complete && !part.is_empty() {
                return Err(compressed(
                    "deflate",
                    io::Error::other("bytes after its end"),
                ));
            }
            if self.complete || (part.is_empty() && written < STEP) {
                return Ok(());
            }
            if read == 0 && written == 0 {
                return Err(compressed("deflate", io::ErrorKind::InvalidData.into()));
            }
        }
    }

    fn finish(self) -> Result<Buffer, Refusal> {
        if self.complete {
            Ok(self.buffer)
        } else {
            Err(compressed("deflate", io::ErrorKind::UnexpectedEof.into()))
        }
    }
}

pub(crate) struct Zstd {
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
            step: vec![0; STEP].into_boxed_slice(),
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
        let size = self.context.sizeof() + STEP;
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
