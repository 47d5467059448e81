//! One direction of an HTTP/1 connection.

use super::chunks::Chunks;
use crate::httpflow::stream::{Early, Positions, Seen, Segment};

/// A head of more bytes is cut.
pub(super) const MOST_HEAD: usize = 16 << 10;

/// What is expected next.
#[derive(Debug, Default)]
pub(super) enum State {
    /// A message.
    #[default]
    Start,
    /// More of a head.
    Head,
    /// More of a body that ends at `end`. One that is `optional` may not come at all.
    Sized { end: u64, optional: bool },
    /// More of a body in chunks.
    Chunked(Chunks),
    /// More of a message whose end is shown only by what comes next.
    Unknown,
    /// More of a body that ends with the connection.
    UntilEnd,
    /// Anything, until a message begins with a piece.
    Lost,
}

#[derive(Debug, Default)]
pub(super) struct Half {
    pub(super) positions: Positions,
    /// The position that is expected; 0 if nothing has come yet.
    pub(super) at: u64,
    pub(super) state: State,
    /// The beginning of a head.
    pub(super) buffer: Vec<u8>,
    /// Of the head in the buffer: when it began, and how far the other direction was then.
    pub(super) began: (u64, Option<Seen>),
    pub(super) early: Early,
}

/// How a segment fits to what is expected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It goes on from there.
    Next,
    /// All of it has been seen.
    Old,
    /// Something is missing before it, or was not captured.
    Gap,
}

impl Half {
    /// A position in this direction.
    pub(super) fn position(&self, wrapped: u32) -> u64 {
        let end = match self.state {
            State::Sized { end, .. } => Some(end),
            _ => None,
        };
        self.positions.unwrap(wrapped, end)
    }

    pub(super) fn seen_at(&self) -> u64 {
        self.positions.seen().map_or(self.at, |seen| seen.at)
    }

    /// Cuts off what has been seen already.
    pub(super) fn fit(&self, segment: &mut Segment<'_>) -> Fit {
        if segment.at > self.at {
            return Fit::Gap;
        }
        if segment.end() <= self.at {
            return Fit::Old;
        }
        segment.skip_to(self.at);
        if segment.bytes.is_empty() {
            return Fit::Gap;
        }
        Fit::Next
    }

    /// Expects a message at `at`.
    pub(super) fn start(&mut self, at: u64) {
        self.state = State::Start;
        self.at = at;
        self.buffer = Vec::new();
    }

    /// Looks for a message from `at` on.
    pub(super) fn lose(&mut self, at: u64) {
        self.start(at);
        self.state = State::Lost;
    }

    /// Bytes kept.
    pub(super) fn held(&self) -> usize {
        self.buffer.capacity() + self.early.held()
    }
}
