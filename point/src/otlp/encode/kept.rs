//! A request written anew in its own order.

use super::{Item, Origin};
use crate::otlp::{
    OtlpBatch, Signal,
    fields::{Fields, Occurrences, Placed, Raw},
    group::Place,
    metrics::Run,
    put::{self, Opened, put_chunk},
};

/// The request, and how far it is written.
#[derive(Debug)]
pub(super) struct Kept {
    batch: OtlpBatch,
    out: Vec<u8>,
    /// The messages around the item that was written last, outermost first; the first is the request itself.
    frames: Vec<Frame>,
    /// Where that item ended.
    written: usize,
}

/// A message that is being written.
#[derive(Debug)]
struct Frame {
    place: Place,
    /// Which of its fields are messages that may hold items.
    inner: Run,
    opened: Option<Opened>,
    /// The first message inside that holds an item: all before it is written.
    first: usize,
    /// Messages inside that begin before this were dealt with.
    cursor: usize,
}

/// What the fields are that hold the next messages, by the depth of the one they are in.
fn inner(depth: usize, message: &[u8]) -> Run {
    match depth {
        0 => Run { kind: 1, from: 0 },
        1 | 2 => Run { kind: 2, from: 0 },
        3 => Run::of(message),
        _ => Run { kind: 1, from: 0 },
    }
}

impl Kept {
    pub(super) fn new(batch: OtlpBatch) -> Self {
        let mut kept = Self {
            out: Vec::with_capacity(batch.bytes().len()),
            batch,
            frames: Vec::with_capacity(5),
            written: 0,
        };
        let all = Place::whole(kept.batch.bytes().len());
        kept.open(all);
        kept
    }

    pub(super) const fn batch(&self) -> &OtlpBatch {
        &self.batch
    }

    /// Whether it is of this request and behind all that is written.
    pub(super) fn has_room_for(&self, origin: &Origin<'_>) -> bool {
        let (own, other) = (self.batch.bytes(), origin.batch.bytes());
        own.as_ptr() == other.as_ptr()
            && own.len() == other.len()
            && origin.place.from >= self.written
    }

    pub(super) fn put(&mut self, origin: &Origin<'_>, item: Item<'_>) {
        let groups = [Some(&origin.resource.group), Some(&origin.scope.group)];
        let metric = origin.series.map(|series| &series.metric.group);
        let data = origin.series.map(|series| &series.data);
        let around = groups.into_iter().chain([metric, data]).flatten();
        for (depth, group) in (1..).zip(around) {
            let Some(place) = group.place else { return };
            match self.frames.get(depth) {
                Some(frame) if frame.place == place => continue,
                _ => self.close_to(depth),
            }
            self.open(place);
        }
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        frame.cursor = origin.place.to;
        self.written = origin.place.to;
        let request = self.batch.bytes();
        match item {
            Item::Same => {
                let whole = &request[origin.place.from..origin.place.to];
                self.out.extend_from_slice(whole);
            }
            Item::Changed(message) => put_chunk(frame.inner.kind, message, &mut self.out),
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.close_to(0);
        self.out
    }

    /// Begins the message at `place`, up to the first message inside that holds an item.
    fn open(&mut self, place: Place) {
        let depth = self.frames.len();
        let request = self.batch.bytes();
        let message = &request[place.start..place.to];
        let opened = self.frames.last_mut().map(|outer| {
            let skipped = outer.cursor..place.from;
            outer.cursor = place.to;
            let before = &request[skipped.clone()];
            for field in Fields::of(before).placed() {
                let is_inner = outer.inner.kind == field.number
                    && skipped.start + field.from >= outer.place.start + outer.inner.from;
                if is_inner && !holds_items(self.batch.signal(), depth, field.raw) {
                    self.out.extend_from_slice(&before[field.from..field.to]);
                }
            }
            put::open(outer.inner.kind, message.len(), &mut self.out)
        });
        let inner = inner(depth, message);
        let signal = self.batch.signal();
        let mut fields = Fields::of(message).placed();
        let first = fields
            .find(|field| is_first(signal, depth, &inner, field))
            .map_or(message.len(), |field| field.from);
        self.out.extend_from_slice(&message[..first]);
        self.frames.push(Frame {
            place,
            inner,
            opened,
            first: place.start + first,
            cursor: place.start + first,
        });
    }

    /// Ends messages until only `depth` are open: with what is behind the items, and messages without any.
    fn close_to(&mut self, depth: usize) {
        while self.frames.len() > depth {
            let inside = self.frames.len();
            let Some(frame) = self.frames.pop() else {
                return;
            };
            let rest = &self.batch.bytes()[frame.first..frame.place.to];
            for field in Fields::of(rest).placed() {
                let at = frame.first + field.from;
                let keep = if frame.inner.holds(field.number, at - frame.place.start) {
                    at >= frame.cursor && !holds_items(self.batch.signal(), inside, field.raw)
                } else {
                    true
                };
                if keep {
                    self.out.extend_from_slice(&rest[field.from..field.to]);
                }
            }
            if let Some(opened) = frame.opened {
                opened.close(&mut self.out);
            }
        }
    }
}

fn is_first(signal: Signal, depth: usize, inner: &Run, field: &Placed<'_>) -> bool {
    inner.holds(field.number, field.from) && holds_items(signal, depth + 1, field.raw)
}

/// Whether there is an item in the message at `depth`, or it is one.
fn holds_items(signal: Signal, depth: usize, message: Raw<'_>) -> bool {
    let items_at = match signal {
        Signal::Traces | Signal::Logs => 3,
        Signal::Metrics => 5,
    };
    if depth == items_at {
        return true;
    }
    let message = message.bytes();
    let Run { kind, from } = inner(depth, message);
    Occurrences::of(kind, message.get(from..).unwrap_or_default())
        .any(|raw| holds_items(signal, depth + 1, raw))
}
