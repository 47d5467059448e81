//! Requests and answers of the streams of an HTTP/2 connection.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::{SENT, hpack::Field};
use crate::httpflow::{
    context::{Context, Telling},
    exchange::Reason,
    http1::Upgraded,
    message::{Request, TraceParent, UNKNOWN, Version},
    stream::Seen,
};

/// Streams of one connection that are followed. Servers allow 100 to 250 by default.
const MOST_STREAMS: usize = 1024;

/// Streams that were reset and of which more may be on its way.
const MOST_RESET: usize = 64;

/// When something was seen, and how far the other direction was then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) time_ns: u64,
    pub(super) other: Option<Seen>,
}

/// A header block that was read; its fields are apart.
pub(super) struct Block {
    pub(super) stream: u32,
    /// Of its frames.
    pub(super) bytes: u64,
    /// Whether it ends the stream.
    pub(super) ends: bool,
    /// The position behind it.
    pub(super) at: u64,
    pub(super) began: Moment,
}

/// What is looked at of a header block.
#[derive(Debug, Default)]
pub(super) struct Fields {
    method: Vec<u8>,
    path: Vec<u8>,
    host: Vec<u8>,
    status: Option<u16>,
    grpc_status: Option<u32>,
    trace: Option<TraceParent>,
    is_grpc: bool,
    /// Whether some field is not known.
    has_unknown: bool,
}

impl Fields {
    pub(super) fn clear(&mut self) {
        let Self {
            mut method,
            mut path,
            mut host,
            ..
        } = std::mem::take(self);
        method.clear();
        path.clear();
        host.clear();
        *self = Self {
            method,
            path,
            host,
            ..Self::default()
        };
    }

    /// Nothing of a block is known.
    pub(super) fn clear_unknown(&mut self) {
        self.clear();
        self.has_unknown = true;
    }

    pub(super) fn take(&mut self, field: Field, value: &[u8]) {
        let set = |to: &mut Vec<u8>| {
            to.clear();
            to.extend_from_slice(value);
        };
        match field {
            Field::Method => set(&mut self.method),
            Field::Path => set(&mut self.path),
            Field::Authority => set(&mut self.host),
            Field::Host if self.host.is_empty() => set(&mut self.host),
            Field::Status => {
                self.status = number(value).filter(|status| (100..=999).contains(status));
            }
            Field::GrpcStatus => self.grpc_status = number(value),
            Field::ContentType => self.is_grpc = value.starts_with(b"application/grpc"),
            Field::Traceparent => self.trace = TraceParent::parse(value),
            Field::Unknown => self.has_unknown = true,
            Field::Host | Field::Other => {}
        }
    }

    /// The request, with what is not known named so.
    fn request(&self, side: usize, context: &mut Context<'_>) -> Request {
        let or_unknown = |value: &[u8]| match value {
            [] if self.has_unknown => UNKNOWN.to_owned(),
            value => String::from_utf8_lossy(value).into_owned(),
        };
        let (method, path) = (or_unknown(&self.method), or_unknown(&self.path));
        context.tally.fields_unknown += u64::from(method == UNKNOWN || path == UNKNOWN);
        let mut request =
            Request::new(method.as_bytes(), &path, Version::Http2, context.redactions);
        request.trace = self.trace;
        if side == SENT {
            request.set_host(&self.host);
        }
        request
    }
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    str::from_utf8(value).ok()?.trim().parse().ok()
}

#[derive(Debug, Default)]
struct Message {
    bytes: u64,
    ended: bool,
}

#[derive(Debug)]
struct Stream {
    telling: Telling,
    request: Message,
    answer: Message,
    /// When the latest byte of the request was seen, and the position behind it.
    last_ns: u64,
    end: u64,
    is_grpc: bool,
    /// Whether the head of the answer has come.
    answered: bool,
}

impl Stream {
    fn new(request: Request, began_ns: u64, context: &Context<'_>) -> Self {
        Self {
            telling: Telling::new(request, began_ns, context.owner),
            request: Message::default(),
            answer: Message::default(),
            last_ns: began_ns,
            end: 0,
            is_grpc: false,
            answered: false,
        }
    }

    const fn is_complete(&self) -> bool {
        self.request.ended && self.answer.ended
    }

    /// The request was seen up to `at`.
    fn asked(&mut self, bytes: u64, ends: bool, at: u64, time_ns: u64) {
        self.request.bytes += bytes;
        self.request.ended |= ends;
        (self.end, self.last_ns) = (at, time_ns);
    }

    fn answered(&mut self, status: u16, began: &Moment, context: &mut Context<'_>) {
        self.answered = true;
        if self.telling.counted {
            context.tally.late_answers += 1;
            return;
        }
        let last_ns = match began.other {
            // The payload behind the last frame's header was the latest that was seen.
            Some(seen) if seen.at == self.end => seen.time_ns,
            _ => self.last_ns,
        };
        self.telling.owner = context.owner;
        self.telling.outcome.status = status;
        self.telling.latency_ns = Some(began.time_ns.saturating_sub(last_ns));
    }

    fn tell(&mut self, is_last: bool, is_server: bool, context: &mut Context<'_>) {
        let bytes = (self.request.bytes, self.answer.bytes);
        self.telling.tell(bytes, is_last, is_server, context);
    }
}

/// The streams that are not complete.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Which direction has the requests.
    pub(super) client: Option<usize>,
    streams: HashMap<u32, Stream>,
    /// Those that something was heard of in this piece.
    touched: Vec<u32>,
    /// Those that were ended before their answer had ended, the latest last.
    reset: VecDeque<u32>,
}

impl Streams {
    const fn is_server(&self) -> bool {
        matches!(self.client, Some(0) | None)
    }

    /// The answer to a request of HTTP/1 comes on stream 1.
    pub(super) fn upgraded(&mut self, from: Upgraded) {
        let stream = Stream {
            telling: from.telling,
            request: Message {
                bytes: from.bytes.0,
                ended: true,
            },
            answer: Message {
                bytes: from.bytes.1,
                ended: false,
            },
            last_ns: from.last_ns,
            end: 0,
            is_grpc: false,
            answered: false,
        };
        self.streams.insert(1, stream);
    }

    pub(super) fn knows(&self, stream: u32) -> bool {
        self.streams.contains_key(&stream)
    }

    /// A header block: of a request, an answer, or at the end of either.
    pub(super) fn block(
        &mut self,
        side: usize,
        block: &Block,
        fields: &Fields,
        context: &mut Context<'_>,
    ) {
        if self.client.is_none() {
            // Only one of both has such a field.
            match (fields.method.is_empty(), fields.status) {
                (false, None) => self.client = Some(side),
                (true, Some(_)) => self.client = Some(1 - side),
                _ => return,
            }
        }
        if self.client == Some(side) {
            self.ask(side, block, fields, context);
        } else {
            self.answer(block, fields, context);
        }
    }

    fn ask(&mut self, side: usize, block: &Block, fields: &Fields, context: &mut Context<'_>) {
        // Clients have the odd ones (RFC 9113, 5.1.1).
        if block.stream.is_multiple_of(2) {
            return;
        }
        let is_new = !self.streams.contains_key(&block.stream);
        if is_new && self.streams.len() >= MOST_STREAMS {
            context.tally.requests_full += 1;
            return;
        }
        let time_ns = block.began.time_ns;
        let stream = self.streams.entry(block.stream).or_insert_with(|| {
            let request = fields.request(side, context);
            let mut stream = Stream::new(request, time_ns, context);
            stream.is_grpc = fields.is_grpc;
            stream
        });
        stream.asked(block.bytes, block.ends, block.at, time_ns);
        self.settle(block.stream, context);
    }

    fn answer(&mut self, block: &Block, fields: &Fields, context: &mut Context<'_>) {
        let Some(stream) = self.streams.get_mut(&block.stream) else {
            let is_answer = fields.status.is_some_and(|status| status >= 200);
            // What was pushed nobody has asked for, and what was reset nobody waits for.
            let is_unasked = block.stream.is_multiple_of(2) || self.reset.contains(&block.stream);
            context.tally.request_unseen += u64::from(is_answer && !is_unasked);
            return;
        };
        stream.answer.bytes += block.bytes;
        stream.answer.ended |= block.ends;
        stream.telling.ended_ns = block.began.time_ns;
        match fields.status {
            Some(100..200) => {}
            Some(status) if !stream.answered => stream.answered(status, &block.began, context),
            None if !stream.answered => {
                context.tally.status_unknown += 1;
                self.streams.remove(&block.stream);
                return;
            }
            _ => {}
        }
        if fields.grpc_status.is_some() && !stream.telling.counted {
            stream.telling.outcome.grpc_status = fields.grpc_status;
        }
        self.settle(block.stream, context);
    }

    /// A DATA frame of so many bytes, which ends `at` and may end the stream.
    pub(super) fn data(
        &mut self,
        side: usize,
        stream: u32,
        (bytes, at, ends): (u64, u64, bool),
        now: &Moment,
        context: &mut Context<'_>,
    ) {
        let is_request = self.client == Some(side);
        let Some(found) = self.streams.get_mut(&stream) else {
            return;
        };
        if is_request {
            found.asked(bytes, ends, at, now.time_ns);
        } else {
            found.answer.bytes += bytes;
            found.answer.ended |= ends;
            found.telling.ended_ns = now.time_ns;
        }
        if ends {
            self.settle(stream, context);
        }
    }

    /// Tells of a stream that is complete, and remembers to tell of others.
    fn settle(&mut self, number: u32, context: &mut Context<'_>) {
        let is_server = self.is_server();
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        if stream.is_complete() && (stream.answered || stream.telling.counted) {
            stream.tell(true, is_server, context);
            self.streams.remove(&number);
        } else if stream.answered && !stream.telling.counted {
            self.touched.push(number);
        }
    }

    /// Counts requests whose answers have begun in this piece. Those of gRPC are counted with their status, which comes
    /// at the end.
    pub(super) fn tell_touched(&mut self, context: &mut Context<'_>) {
        let is_server = self.is_server();
        for number in self.touched.drain(..) {
            if let Some(stream) = self.streams.get_mut(&number)
                && !stream.telling.counted
                && (!stream.is_grpc || stream.answer.ended)
            {
                stream.tell(false, is_server, context);
            }
        }
    }

    /// These streams have ended.
    pub(super) fn end(
        &mut self,
        is_it: impl Fn(u32) -> bool,
        reason: Reason,
        now_ns: u64,
        context: &mut Context<'_>,
    ) {
        let is_server = self.is_server();
        for (number, mut stream) in self.streams.extract_if(|number, _| is_it(*number)) {
            if self.reset.len() == MOST_RESET {
                self.reset.pop_front();
            }
            self.reset.push_back(number);
            if !stream.answered && !stream.telling.counted {
                stream.telling.give_up(reason, now_ns, context.owner);
            }
            stream.tell(true, is_server, context);
        }
    }

    /// Gives up requests that have waited too long.
    pub(super) fn time_out(&mut self, now_ns: u64, timeout_ns: u64, context: &mut Context<'_>) {
        let is_server = self.is_server();
        for stream in self.streams.values_mut() {
            let waited = now_ns.saturating_sub(stream.last_ns);
            let waits = stream.request.ended && !stream.answered && !stream.telling.counted;
            if waits && waited > timeout_ns {
                stream
                    .telling
                    .give_up(Reason::Timeout, now_ns, context.owner);
                stream.tell(true, is_server, context);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Requests that wait and are not counted.
    pub(super) fn waiting(&self) -> u64 {
        let waiting = self.streams.values();
        waiting.filter(|stream| !stream.telling.counted).count() as u64
    }
}
