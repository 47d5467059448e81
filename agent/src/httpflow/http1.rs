//! HTTP/1 (RFC 9112): which answer belongs to which request, when and how much.
//!
//! Bodies are not seen. Where one ends is known by its length, by its chunks as far as those are seen, or by what
//! comes after it: an answer by the next request, which comes when all of it has been read.

mod chunks;
mod dialogue;
mod half;
mod messages;

use weir_ebpf_common::http::{Piece, flag};

use self::{
    chunks::{Chunks, Read},
    dialogue::{Dialogue, Ended},
    half::{Fit, Half, MOST_HEAD, State},
};
use super::{
    context::{After, Context, Telling},
    exchange::Reason,
    head::{Parsed, answer_head, may_be_answer, may_be_request, request_head},
    stream::{Positions, Segment},
};

/// Directions.
const RECEIVED: usize = 0;
const SENT: usize = 1;

/// Bytes that a message which is looked for begins with: a short method, path and version.
const LEAST_START: usize = 14;
/// The end of a stream is not believed to be further behind what was seen of it.
const MOST_UNSEEN: u64 = 1 << 30;
/// What was overtaken comes within this time, or not at all.
const LATE_NS: u64 = 1_000_000_000;

/// A connection.
#[derive(Debug, Default)]
pub(super) struct Http1 {
    /// What was received, and what was sent.
    halves: [Half; 2],
    /// Which of the two has the requests.
    client: Option<usize>,
    dialogue: Dialogue,
    midway: bool,
    wrong: u8,
    after: Option<After>,
    upgraded: Option<Upgraded>,
    /// Whether early pieces are being given up on.
    giving_up: bool,
}

/// What becomes HTTP/2: the request that is still to be answered, and where both directions go on.
#[derive(Debug)]
pub(super) struct Upgraded {
    /// Which direction has the requests.
    pub(super) client: usize,
    pub(super) positions: [Positions; 2],
    pub(super) at: [u64; 2],
    pub(super) telling: Telling,
    /// Of the request, and of the answer so far.
    pub(super) bytes: (u64, u64),
    /// When the request's last byte was seen.
    pub(super) last_ns: u64,
}

/// What to do with the rest of a segment.
enum Step {
    Again,
    Done,
}

impl Http1 {
    /// With `midway`, earlier pieces were not seen.
    pub(super) fn new(midway: bool) -> Self {
        Self {
            midway,
            ..Self::default()
        }
    }

    /// What becomes HTTP/2, once.
    pub(super) fn take_upgraded(&mut self) -> Option<Upgraded> {
        self.upgraded.take()
    }

    /// Bytes kept of messages that are not complete.
    pub(super) fn held(&self) -> usize {
        self.halves.iter().map(Half::held).sum()
    }

    /// Takes in a piece.
    pub(super) fn piece(
        &mut self,
        piece: &Piece,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) -> After {
        let side = usize::from(piece.flags & flag::SENT != 0);
        let other = &mut self.halves[1 - side];
        if piece.other_time_ns != 0 {
            let at = other.position(piece.other_position);
            other.positions.see(at, piece.other_time_ns);
        }
        let other = other.positions.seen();
        let half = &mut self.halves[side];
        let at = half.position(piece.position);
        let segment = Segment {
            at,
            length: u64::from(piece.length),
            bytes,
            time_ns: piece.time_ns,
            other,
        };
        // Where it ends, without payload: positions of resets may be anything.
        if segment.length == 0 && at < half.seen_at() + MOST_UNSEEN {
            half.positions.see(at, segment.time_ns);
        }
        if segment.length > 0 {
            self.feed(side, segment, context);
            self.halves[side]
                .positions
                .see(segment.end(), segment.time_ns);
            self.take_early(side, context);
        }
        self.dialogue.tell_open(&self.seen(), context);
        self.after.unwrap_or(After::On)
    }

    /// The connection has ended.
    pub(super) fn end(&mut self, reason: Reason, now_ns: u64, context: &mut Context<'_>) {
        for side in [RECEIVED, SENT] {
            self.give_up_early(side, context);
        }
        self.cut_request(context);
        let seen = self.seen();
        self.dialogue.end(reason, now_ns, &seen, context);
    }

    /// Gives up on what has not come in time. `timeout_ns` is that of answers.
    pub(super) fn tick(&mut self, now_ns: u64, timeout_ns: u64, context: &mut Context<'_>) {
        for side in [RECEIVED, SENT] {
            let since = self.halves[side].early.since_ns();
            if since.is_some_and(|since| now_ns.saturating_sub(since) > LATE_NS) {
                self.give_up_early(side, context);
            }
        }
        let seen = self.seen();
        self.dialogue.time_out(now_ns, timeout_ns, &seen, context);
    }

    /// Whether nothing can come of it while nothing is seen.
    pub(super) fn is_idle(&self) -> bool {
        self.dialogue.is_idle() && self.halves.iter().all(|half| half.early.is_empty())
    }

    /// Requests whose answers have not come.
    pub(super) fn waiting(&self) -> u64 {
        self.dialogue.waiting()
    }

    fn seen(&self) -> Ended {
        let client = self.client.unwrap_or(RECEIVED);
        Ended {
            is_server: client == RECEIVED,
            request: self.halves[client].seen_at(),
            answer: self.halves[1 - client].seen_at(),
        }
    }

    fn is_client(&self, side: usize, bytes: &[u8]) -> bool {
        match self.client {
            Some(client) => client == side,
            None => !bytes.starts_with(b"HTTP/"),
        }
    }

    /// Reads a segment to its end.
    fn feed(&mut self, side: usize, mut segment: Segment<'_>, context: &mut Context<'_>) {
        let half = &mut self.halves[side];
        if half.at == 0 {
            half.start(segment.at);
            if self.midway {
                half.state = State::Lost;
            }
        }
        while segment.length > 0 && self.after.is_none() {
            if let Step::Done = self.step(side, &mut segment, context) {
                return;
            }
        }
    }

    fn step(&mut self, side: usize, segment: &mut Segment<'_>, context: &mut Context<'_>) -> Step {
        let half = &mut self.halves[side];
        match half.state {
            State::Start | State::Head => match half.fit(segment) {
                Fit::Next => self.head(side, segment, context),
                Fit::Old => Step::Done,
                Fit::Gap => self.gap(side, segment, context),
            },
            State::Sized { end, optional } => {
                let is_skipped = optional
                    && segment.at <= half.at
                    && self.dialogue.is_answered()
                    && may_be_request(segment.bytes)
                    && segment.bytes.len() >= LEAST_START;
                let end = if is_skipped { half.at } else { end };
                if segment.end() < end {
                    half.at = half.at.max(segment.end());
                    return Step::Done;
                }
                segment.skip_to(end);
                half.start(end);
                self.finish(side, end, segment.time_ns, context);
                Step::Again
            }
            State::Chunked(chunks) => self.chunks(side, chunks, segment, context),
            State::Unknown => {
                let is_next = segment.at >= half.at && self.may_begin(side, segment.bytes);
                let half = &mut self.halves[side];
                if !is_next {
                    // After its answer, it is rather the next request, of which the beginning was overtaken.
                    let may_be_early = self.client == Some(side)
                        && self.dialogue.is_answered()
                        && self.may_be_overtaken(side, segment, context);
                    let half = &mut self.halves[side];
                    if !may_be_early || !half.early.keep(segment) {
                        half.at = half.at.max(segment.end());
                    }
                    return Step::Done;
                }
                half.start(segment.at);
                let since = half.positions.seen();
                let time_ns = since.map_or(segment.time_ns, |seen| seen.time_ns);
                self.finish(side, segment.at, time_ns, context);
                Step::Again
            }
            State::Lost => {
                let is_answer = may_be_answer(segment.bytes);
                let is_start = (is_answer || may_be_request(segment.bytes))
                    && segment.bytes.len() >= LEAST_START
                    && self
                        .client
                        .is_none_or(|client| (client == side) != is_answer);
                let half = &mut self.halves[side];
                if segment.at < half.at || !is_start {
                    return Step::Done;
                }
                half.start(segment.at);
                Step::Again
            }
            State::UntilEnd => Step::Done,
        }
    }

    /// Whether a piece that begins with `bytes` may be a message of its own, and not more of one whose end is not
    /// known: a request, if that one has been answered or has no body; an answer, if one is still to come.
    fn may_begin(&self, side: usize, bytes: &[u8]) -> bool {
        if self.client == Some(side) {
            self.dialogue.may_ask_again() && may_be_request(bytes)
        } else {
            self.dialogue.is_waiting() && may_be_answer(bytes)
        }
    }

    /// Whether what is missing before a segment may still come, and the segment be kept until then. Only what comes over
    /// a network is overtaken.
    fn may_be_overtaken(&self, side: usize, segment: &Segment<'_>, context: &Context<'_>) -> bool {
        side == RECEIVED && !context.tls && !self.giving_up && segment.bytes.len() <= context.room
    }

    fn chunks(
        &mut self,
        side: usize,
        mut chunks: Chunks,
        segment: &mut Segment<'_>,
        context: &mut Context<'_>,
    ) -> Step {
        let half = &mut self.halves[side];
        if segment.end() <= half.at {
            return Step::Done;
        }
        segment.skip_to(half.at);
        if !chunks.skip(segment.at - half.at) {
            half.state = State::Unknown;
            return Step::Again;
        }
        match chunks.read(segment.bytes) {
            Read::End(length) => {
                segment.skip_to(segment.at + length as u64);
                half.start(segment.at);
                self.finish(side, segment.at, segment.time_ns, context);
                Step::Again
            }
            Read::More if chunks.skip(segment.length - segment.bytes.len() as u64) => {
                half.state = State::Chunked(chunks);
                half.at = segment.end();
                Step::Done
            }
            Read::More | Read::Wrong => {
                half.state = State::Unknown;
                half.at = segment.end();
                Step::Done
            }
        }
    }

    /// A message has ended.
    fn finish(&mut self, side: usize, at: u64, time_ns: u64, context: &mut Context<'_>) {
        let seen = self.seen();
        if self.client == Some(side) {
            self.dialogue.request_ended(at, time_ns, &seen, context);
        } else {
            self.dialogue.answer_ended(at, time_ns, &seen, context);
        }
    }

    /// Reads a head, or the part of it that has come.
    fn head(&mut self, side: usize, segment: &mut Segment<'_>, context: &mut Context<'_>) -> Step {
        let half = &mut self.halves[side];
        let mut buffer = std::mem::take(&mut half.buffer);
        let before = buffer.len();
        if before == 0 {
            half.began = (segment.time_ns, segment.other);
        }
        let bytes = if before == 0 {
            segment.bytes
        } else {
            buffer.extend_from_slice(segment.bytes);
            &buffer
        };
        let start = segment.at - before as u64;
        let length = match self.read_head(side, start, bytes, segment.time_ns, context) {
            Parsed::Whole((), length) => length,
            Parsed::Wrong => return self.wrong(side, segment, context),
            Parsed::Partial => {
                let half = &mut self.halves[side];
                half.state = State::Head;
                half.at = segment.end();
                let has_room = segment.bytes.len() <= context.room;
                if segment.is_whole() && has_room && bytes.len() <= MOST_HEAD {
                    if before == 0 {
                        buffer.extend_from_slice(segment.bytes);
                    }
                    half.buffer = buffer;
                } else {
                    context.tally.buffers_full += u64::from(!has_room);
                    self.cut(side, start, bytes, context);
                }
                return Step::Done;
            }
        };
        // The head ends behind what was in the buffer: that alone was none.
        segment.skip_to(start + length as u64);
        Step::Again
    }

    /// Reads a head and expects its body.
    fn read_head(
        &mut self,
        side: usize,
        start: u64,
        bytes: &[u8],
        time_ns: u64,
        context: &mut Context<'_>,
    ) -> Parsed<()> {
        if self.is_client(side, bytes) {
            match request_head(bytes, side == SENT, context.redactions) {
                Parsed::Whole(head, length) => {
                    self.client = Some(side);
                    let end = start + length as u64;
                    self.request((start, end), time_ns, head, context);
                    Parsed::Whole((), length)
                }
                Parsed::Partial if is_request_so_far(bytes) => Parsed::Partial,
                Parsed::Partial | Parsed::Wrong => Parsed::Wrong,
            }
        } else {
            match answer_head(bytes) {
                Parsed::Whole(head, length) => {
                    self.client = Some(1 - side);
                    let end = start + length as u64;
                    self.answer((start, end), time_ns, &head, context);
                    Parsed::Whole((), length)
                }
                Parsed::Partial => Parsed::Partial,
                Parsed::Wrong => Parsed::Wrong,
            }
        }
    }
}

/// Whether a head that is not complete is a request's, as far as it goes. Empty lines may come before it.
fn is_request_so_far(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_start();
    bytes.is_empty() || may_be_request(bytes)
}

#[cfg(test)]
mod tests;
