//! One direction of an HTTP/2 connection as frames (RFC 9113, 4).

use crate::httpflow::stream::{Early, Positions, Segment};

pub(super) mod kind {
    pub(in super::super) const DATA: u8 = 0;
    pub(in super::super) const HEADERS: u8 = 1;
    pub(in super::super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(in super::super) const PUSH_PROMISE: u8 = 5;
    pub(in super::super) const GOAWAY: u8 = 7;
    pub(in super::super) const CONTINUATION: u8 = 9;
}

pub(super) mod flag {
    pub(in super::super) const END_STREAM: u8 = 1;
    pub(in super::super) const END_HEADERS: u8 = 4;
    pub(in super::super) const PADDED: u8 = 8;
    pub(in super::super) const PRIORITY: u8 = 0x20;
}

/// What a client begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's header.
pub(super) const HEADER: usize = 9;
/// The longest payload that is kept; senders need leave to send more than 16 KiB.
const MOST_PAYLOAD: u32 = 1 << 16;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// 0 is the connection.
    pub(super) stream: u32,
}

impl Header {
    fn parse(bytes: &[u8; HEADER]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
        }
    }

    pub(super) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The part of a header block in the payload, without padding, priority and the number of a promised stream.
    pub(super) fn fragment(self, payload: &[u8]) -> Option<&[u8]> {
        let mut rest = payload;
        let mut padding = 0;
        if self.has(flag::PADDED) {
            let (length, after) = rest.split_first()?;
            (padding, rest) = (usize::from(*length), after);
        }
        let skipped = match self.kind {
            kind::PUSH_PROMISE => 4,
            _ if self.has(flag::PRIORITY) => 5,
            _ => 0,
        };
        rest = rest.get(skipped..)?;
        rest.get(..rest.len().checked_sub(padding)?)
    }

    /// Whether the payload is looked at.
    const fn is_read(self) -> bool {
        matches!(
            self.kind,
            kind::HEADERS
                | kind::RST_STREAM
                | kind::PUSH_PROMISE
                | kind::GOAWAY
                | kind::CONTINUATION
        )
    }

    /// Whether it may be a header (RFC 9113, 6), and not something in the middle of a frame.
    const fn is_plausible(self) -> bool {
        let (on_stream, length, flags) = match self.kind {
            kind::DATA => (true, true, 0x09),
            kind::HEADERS => (true, true, 0x2d),
            2 => (true, self.length == 5, 0),
            kind::RST_STREAM => (true, self.length == 4, 0),
            kind::SETTINGS => (false, self.length.is_multiple_of(6), 0x01),
            kind::PUSH_PROMISE => (true, true, 0x0c),
            6 => (false, self.length == 8, 0x01),
            kind::GOAWAY => (false, self.length >= 8, 0),
            8 => return self.length == 4 && self.flags == 0,
            kind::CONTINUATION => (true, true, 0x04),
            _ => return false,
        };
        let fits = (self.stream != 0) == on_stream && self.flags & !flags == 0;
        fits && length && self.length <= MOST_PAYLOAD
    }
}

#[derive(Debug, Default)]
enum State {
    /// So much of the preface has come.
    Preface(usize),
    #[default]
    Header,
    /// The payload of this frame.
    Payload(Header),
    /// A piece that begins with a frame.
    Lost,
}

/// What reading came to.
#[derive(Debug)]
pub(super) enum Read<'a> {
    /// A frame. Of those that are looked at, the payload; `None` if it is in the buffer.
    Frame(Header, Option<&'a [u8]>),
    /// A frame that is looked at, with too long a payload.
    TooLong(Header),
    /// The segment has been read.
    More,
    /// Something is missing before the segment, or was not captured.
    Gap,
    /// This is no HTTP/2.
    Wrong,
}

#[derive(Debug, Default)]
pub(super) struct Frames {
    pub(super) positions: Positions,
    /// The position that is expected; 0 if nothing has come yet.
    pub(super) at: u64,
    state: State,
    /// The beginning of a header or payload.
    buffer: Vec<u8>,
    pub(super) early: Early,
}

impl Frames {
    /// Expects a client's preface, or whatever else comes first, at `at`.
    pub(super) fn begin(&mut self, at: u64, is_client: bool) {
        self.at = at;
        if is_client {
            self.state = State::Preface(0);
        }
    }

    /// Whether bytes begin like a client.
    pub(super) fn is_preface(bytes: &[u8]) -> bool {
        bytes.starts_with(&PREFACE[..bytes.len().min(PREFACE.len())])
    }

    /// Whether bytes begin like a server: with settings that answer none.
    pub(super) fn is_of_server(bytes: &[u8]) -> bool {
        let header = bytes.first_chunk().map(Header::parse);
        header.is_some_and(|header| {
            header.is_plausible() && header.kind == kind::SETTINGS && header.flags == 0
        })
    }

    /// Goes on with the first piece from `at` that begins with a frame.
    pub(super) fn lose(&mut self, at: u64) {
        self.at = at;
        self.state = State::Lost;
        self.buffer = Vec::new();
    }

    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Bytes kept.
    pub(super) fn held(&self) -> usize {
        self.buffer.capacity() + self.early.held()
    }

    /// Reads up to the end of a frame's payload, or of its header where that is not looked at.
    pub(super) fn read<'a>(&mut self, segment: &mut Segment<'a>) -> Read<'a> {
        loop {
            if segment.end() <= self.at {
                return Read::More;
            }
            if segment.at > self.at && !matches!(self.state, State::Lost) {
                return Read::Gap;
            }
            segment.skip_to(self.at);
            if segment.bytes.is_empty() {
                return Read::Gap;
            }
            match self.state {
                State::Preface(seen) => {
                    let wanted = &PREFACE[seen..];
                    let here = wanted.len().min(segment.bytes.len());
                    if segment.bytes[..here] != wanted[..here] {
                        return Read::Wrong;
                    }
                    self.at = segment.at + here as u64;
                    self.state = if here == wanted.len() {
                        State::Header
                    } else {
                        State::Preface(seen + here)
                    };
                }
                State::Header => {
                    if let Some(read) = self.header(segment) {
                        return read;
                    }
                }
                State::Payload(header) => {
                    if let Some(payload) = self.fill(segment, header.length as usize) {
                        self.state = State::Header;
                        return Read::Frame(header, payload);
                    }
                }
                State::Lost if begins_with_frames(segment.bytes) => {
                    self.at = segment.at;
                    self.state = State::Header;
                }
                State::Lost => {
                    self.at = segment.end();
                    return Read::More;
                }
            }
        }
    }

    /// Reads a header. `None` if what follows is to be read first.
    fn header<'a>(&mut self, segment: &Segment<'a>) -> Option<Read<'a>> {
        let found = self.fill(segment, HEADER)?;
        let buffered;
        let bytes = match found {
            Some(bytes) => bytes,
            None => {
                buffered = self.take_buffer();
                &buffered
            }
        };
        let header = Header::parse(bytes.first_chunk()?);
        if !header.is_read() {
            self.at += u64::from(header.length);
            return Some(Read::Frame(header, Some(&[])));
        }
        if header.length > MOST_PAYLOAD {
            self.at += u64::from(header.length);
            return Some(Read::TooLong(header));
        }
        if header.length == 0 {
            return Some(Read::Frame(header, Some(&[])));
        }
        self.state = State::Payload(header);
        None
    }

    /// Goes on to `count` bytes. `Some(None)` if they are in the buffer, `None` if some are missing.
    fn fill<'a>(&mut self, segment: &Segment<'a>, count: usize) -> Option<Option<&'a [u8]>> {
        let wanted = count.saturating_sub(self.buffer.len());
        let here = wanted.min(segment.bytes.len());
        self.at = segment.at + here as u64;
        if self.buffer.is_empty() && here == count {
            return Some(Some(&segment.bytes[..here]));
        }
        self.buffer.extend_from_slice(&segment.bytes[..here]);
        (here == wanted).then_some(None)
    }
}

/// Whether a piece that comes after a gap begins with a frame, and everything in it is one.
fn begins_with_frames(mut bytes: &[u8]) -> bool {
    let mut found = false;
    while let Some((header, rest)) = bytes.split_first_chunk() {
        let header = Header::parse(header);
        if !header.is_plausible() {
            return false;
        }
        found = true;
        let payload = (header.length as usize).min(rest.len());
        bytes = &rest[payload..];
    }
    found
}
