//! The bytes of one request on their way out: the pieces it was merged from, not copied together.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::{self, Write as _},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::write::GzEncoder;
use http_body::{Body, Frame, SizeHint};

use super::config::{Compression, Protocol};

/// Requests of one signal follow each other: together they are one request, because their
/// only field is a repeated one. Clones share the bytes.
#[derive(Debug, Clone)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
}

const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;
/// A smaller piece costs more as a frame of its own than to copy.
const COPY_BELOW: usize = 16 * 1024;
/// A flag and a length come before every gRPC message.
const GRPC_FRAME: usize = 5;

impl Pieces {
    fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let mut chunks = VecDeque::new();
        let mut small = BytesMut::new();
        let mut left = 0;
        for piece in pieces {
            left += piece.len() as u64;
            if piece.len() < COPY_BELOW {
                small.put(piece);
                continue;
            }
            if !small.is_empty() {
                chunks.push_back(small.split().freeze());
            }
            chunks.push_back(piece);
        }
        if !small.is_empty() {
            chunks.push_back(small.freeze());
        }
        Self {
            pieces: chunks,
            left,
        }
    }

    /// The body of a request that has `pieces` as its message.
    pub(super) fn encode(
        pieces: Vec<Bytes>,
        compression: Compression,
        protocol: Protocol,
    ) -> io::Result<Self> {
        let message = match compression {
            Compression::None => Self::new(pieces),
            Compression::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                let mut encoder = GzEncoder::new(Vec::new(), level);
                for piece in &pieces {
                    encoder.write_all(piece)?;
                }
                Self::new([encoder.finish()?.into()])
            }
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                for piece in &pieces {
                    encoder.write_all(piece)?;
                }
                Self::new([encoder.finish()?.into()])
            }
        };
        match protocol {
            Protocol::Http => Ok(message),
            Protocol::Grpc => message.framed(compression != Compression::None),
        }
    }

    fn framed(mut self, compressed: bool) -> io::Result<Self> {
        let length = u32::try_from(self.left)
            .map_err(|_too_large| io::Error::other("larger than a gRPC message can be"))?;
        let mut frame = BytesMut::with_capacity(GRPC_FRAME);
        frame.put_u8(u8::from(compressed));
        frame.put_u32(length);
        self.pieces.push_front(frame.freeze());
        self.left += GRPC_FRAME as u64;
        Ok(self)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        if let Some(piece) = &piece {
            self.left -= piece.len() as u64;
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
