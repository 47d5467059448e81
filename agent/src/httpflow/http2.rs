//! HTTP/2 without TLS or above it (RFC 9113): requests and answers of each stream.
//!
//! Payload of DATA frames is not seen: their headers say how long it is. When a header block is lost, so is what it put
//! into the sender's table: fields of later blocks that refer to that are unknown until they are sent anew.

mod frames;
mod hpack;
mod huffman;
mod streams;

use weir_ebpf_common::http::{Piece, flag as piece_flag};

use self::{
    frames::{Frames, Header, Read, flag, kind},
    hpack::Hpack,
    streams::{Block, Fields, Moment, Streams},
};
use super::{
    context::{After, Context},
    exchange::Reason,
    http1::Upgraded,
    stream::Segment,
};

const RECEIVED: usize = 0;
const SENT: usize = 1;
/// A header block of more bytes is not read.
const MOST_BLOCK: usize = 1 << 16;
/// What was overtaken comes within this time, or not at all.
const LATE_NS: u64 = 1_000_000_000;

/// A header block that is not complete.
#[derive(Debug)]
struct Part {
    stream: u32,
    /// Of the frame that it began with.
    flags: u8,
    is_promise: bool,
    /// Of its frames.
    bytes: u64,
    began: Moment,
    fragment: Vec<u8>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Http2 {
    halves: [Frames; 2],
    tables: [Hpack; 2],
    parts: [Option<Part>; 2],
    fields: Fields,
    streams: Streams,
    midway: bool,
    is_wrong: bool,
    giving_up: bool,
}

impl Http2 {
    /// With `midway`, earlier pieces were not seen.
    pub(super) fn new(midway: bool) -> Self {
        Self {
            halves: Default::default(),
            tables: [Hpack::new(midway), Hpack::new(midway)],
            parts: [None, None],
            fields: Fields::default(),
            streams: Streams::default(),
            midway,
            is_wrong: false,
            giving_up: false,
        }
    }

    /// A connection that began as HTTP/1.
    pub(super) fn upgraded(from: Upgraded) -> Self {
        let mut http2 = Self::new(false);
        http2.streams.client = Some(from.client);
        for (side, half) in http2.halves.iter_mut().enumerate() {
            half.positions = from.positions[side];
            half.begin(from.at[side], side == from.client);
        }
        http2.streams.upgraded(from);
        http2
    }

    /// Bytes kept of frames that are not complete.
    pub(super) fn held(&self) -> usize {
        let parts = self.parts.iter().flatten();
        let halves = self.halves.iter().map(Frames::held);
        parts.map(|part| part.fragment.capacity()).sum::<usize>() + halves.sum::<usize>()
    }

    /// Requests whose answers have not come.
    pub(super) fn waiting(&self) -> u64 {
        self.streams.waiting()
    }

    /// Whether nothing can come of it while nothing is seen.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.is_empty() && self.halves.iter().all(|half| half.early.is_empty())
    }

    /// Takes in a piece.
    pub(super) fn piece(
        &mut self,
        piece: &Piece,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) -> After {
        let side = usize::from(piece.flags & piece_flag::SENT != 0);
        let other = &mut self.halves[1 - side].positions;
        if piece.other_time_ns != 0 {
            other.see(
                other.unwrap(piece.other_position, None),
                piece.other_time_ns,
            );
        }
        let other = other.seen();
        let half = &mut self.halves[side];
        let segment = Segment {
            at: half.positions.unwrap(piece.position, None),
            length: u64::from(piece.length),
            bytes,
            time_ns: piece.time_ns,
            other,
        };
        if segment.length > 0 {
            if half.at == 0 {
                self.begin(side, &segment);
            }
            self.feed(side, segment, context);
            self.halves[side]
                .positions
                .see(segment.end(), segment.time_ns);
            self.take_early(side, context);
        }
        self.streams.tell_touched(context);
        if self.is_wrong {
            context.tally.not_http += 1;
            return After::Other;
        }
        After::On
    }

    fn begin(&mut self, side: usize, segment: &Segment<'_>) {
        if self.streams.client.is_none() {
            if Frames::is_preface(segment.bytes) {
                self.streams.client = Some(side);
            } else if !self.midway && Frames::is_of_server(segment.bytes) {
                // A server need not wait for its client (RFC 9113, 3.4).
                self.streams.client = Some(1 - side);
            }
        }
        let half = &mut self.halves[side];
        match self.streams.client {
            Some(client) => half.begin(segment.at, client == side),
            // The preface was not seen, so its tables are not known.
            None => {
                half.lose(segment.at);
                self.tables.iter_mut().for_each(Hpack::lose);
            }
        }
    }

    /// The connection has ended.
    pub(super) fn end(&mut self, reason: Reason, now_ns: u64, context: &mut Context<'_>) {
        for side in [RECEIVED, SENT] {
            self.give_up_early(side, context);
        }
        self.streams.end(|_| true, reason, now_ns, context);
    }

    /// Gives up on what has not come in time. `timeout_ns` is that of answers.
    pub(super) fn tick(&mut self, now_ns: u64, timeout_ns: u64, context: &mut Context<'_>) {
        for side in [RECEIVED, SENT] {
            let since = self.halves[side].early.since_ns();
            if since.is_some_and(|since| now_ns.saturating_sub(since) > LATE_NS) {
                self.give_up_early(side, context);
            }
        }
        self.streams.time_out(now_ns, timeout_ns, context);
    }

    fn take_early(&mut self, side: usize, context: &mut Context<'_>) {
        loop {
            let half = &mut self.halves[side];
            let Some(taken) = half.early.take(half.at) else {
                return;
            };
            self.feed(side, taken.segment(), context);
        }
    }

    fn give_up_early(&mut self, side: usize, context: &mut Context<'_>) {
        if self.giving_up {
            return;
        }
        self.giving_up = true;
        while let Some(taken) = self.halves[side].early.take(u64::MAX) {
            self.feed(side, taken.segment(), context);
        }
        self.giving_up = false;
    }

    fn feed(&mut self, side: usize, mut segment: Segment<'_>, context: &mut Context<'_>) {
        let now = Moment {
            time_ns: segment.time_ns,
            other: segment.other,
        };
        while !self.is_wrong {
            match self.halves[side].read(&mut segment) {
                Read::More => return,
                Read::Wrong => self.is_wrong = true,
                Read::Gap => {
                    if !self.gap(side, &segment, context) {
                        return;
                    }
                }
                Read::TooLong(header) => {
                    self.lose_block(side);
                    if header.kind == kind::HEADERS {
                        self.fields.clear_unknown();
                        self.block(side, header.stream, header.flags, 0, &now, context);
                    }
                }
                Read::Frame(header, Some(payload)) => {
                    self.frame(side, header, payload, &now, context);
                }
                Read::Frame(header, None) => {
                    let payload = self.halves[side].take_buffer();
                    self.frame(side, header, &payload, &now, context);
                }
            }
        }
    }

    /// Whether to go on with the segment, after what is missing before it.
    fn gap(&mut self, side: usize, segment: &Segment<'_>, context: &mut Context<'_>) -> bool {
        let half = &mut self.halves[side];
        let is_ahead = segment.at > half.at;
        let may_come = is_ahead && side == RECEIVED && !context.tls && !self.giving_up;
        if may_come && segment.bytes.len() <= context.room && half.early.keep(segment) {
            return false;
        }
        context.tally.gaps += 1;
        half.lose(if is_ahead { segment.at } else { segment.end() });
        self.lose_block(side);
        is_ahead
    }

    /// A header block was not seen whole.
    fn lose_block(&mut self, side: usize) {
        self.parts[side] = None;
        self.tables[side].lose();
    }

    fn frame(
        &mut self,
        side: usize,
        header: Header,
        payload: &[u8],
        now: &Moment,
        context: &mut Context<'_>,
    ) {
        if self.parts[side].is_some() && header.kind != kind::CONTINUATION {
            // Nothing may come between the frames of a block (RFC 9113, 6.10).
            self.lose_block(side);
        }
        if let Some(client) = self.streams.client
            && (client, header.kind) == (1 - side, kind::HEADERS)
            && !self.streams.knows(header.stream)
        {
            // The server has read the request: what waits for something before it waits in vain.
            self.give_up_early(client, context);
        }
        let bytes = (frames::HEADER + header.length as usize) as u64;
        match header.kind {
            kind::DATA => {
                let at = self.halves[side].at;
                let ends = header.has(flag::END_STREAM);
                self.streams
                    .data(side, header.stream, (bytes, at, ends), now, context);
            }
            kind::HEADERS | kind::PUSH_PROMISE => {
                let Some(fragment) = header.fragment(payload) else {
                    return self.lose_block(side);
                };
                let part = Part {
                    stream: header.stream,
                    flags: header.flags,
                    is_promise: header.kind == kind::PUSH_PROMISE,
                    bytes,
                    began: *now,
                    fragment: Vec::new(),
                };
                self.part(side, part, fragment, header.has(flag::END_HEADERS), context);
            }
            kind::CONTINUATION => match self.parts[side].take() {
                Some(mut part) if part.stream == header.stream => {
                    part.bytes += bytes;
                    self.part(side, part, payload, header.has(flag::END_HEADERS), context);
                }
                _ => self.lose_block(side),
            },
            kind::RST_STREAM => {
                let is_it = |stream| stream == header.stream;
                self.streams.end(is_it, Reason::Reset, now.time_ns, context);
            }
            kind::GOAWAY => {
                // Streams that the other end says it has not looked at and will not.
                if let Some(last) = payload.first_chunk().copied().map(u32::from_be_bytes)
                    && self.streams.client != Some(side)
                {
                    let is_past = |stream| stream > last & 0x7fff_ffff;
                    self.streams
                        .end(is_past, Reason::Closed, now.time_ns, context);
                }
            }
            _ => {}
        }
    }

    /// A block goes on with `fragment`.
    fn part(
        &mut self,
        side: usize,
        mut part: Part,
        fragment: &[u8],
        is_end: bool,
        context: &mut Context<'_>,
    ) {
        let kept = part.fragment.len() + fragment.len();
        if !is_end {
            let has_room = fragment.len() <= context.room;
            context.tally.buffers_full += u64::from(!has_room);
            if !has_room || kept > MOST_BLOCK {
                return self.lose_block(side);
            }
            part.fragment.extend_from_slice(fragment);
            self.parts[side] = Some(part);
            return;
        }
        let whole = if part.fragment.is_empty() {
            fragment
        } else {
            part.fragment.extend_from_slice(fragment);
            &part.fragment
        };
        self.fields.clear();
        let fields = &mut self.fields;
        let table = &mut self.tables[side];
        if table
            .decode(whole, &mut |field, value| fields.take(field, value))
            .is_err()
        {
            fields.clear_unknown();
        }
        if !part.is_promise {
            let Part {
                stream,
                flags,
                bytes,
                began,
                ..
            } = part;
            self.block(side, stream, flags, bytes, &began, context);
        }
    }

    fn block(
        &mut self,
        side: usize,
        stream: u32,
        flags: u8,
        bytes: u64,
        began: &Moment,
        context: &mut Context<'_>,
    ) {
        let block = Block {
            stream,
            bytes,
            ends: flags & flag::END_STREAM != 0,
            at: self.halves[side].at,
            began: *began,
        };
        self.streams.block(side, &block, &self.fields, context);
    }
}

#[cfg(test)]
mod tests;
