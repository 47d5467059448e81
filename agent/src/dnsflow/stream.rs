//! DNS over TCP: messages with their length before them, in whatever segments (RFC 1035, 4.2.2).

use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::capture::packet::Segment;

/// Connections that are followed.
const MOST_CONNECTIONS: usize = 8192;
/// Bytes of messages that are not complete, in all connections together.
const MOST_BYTES: usize = 16 << 20;
/// Segments of one direction that came before the one that is next.
const MOST_AHEAD: usize = 32;
/// How long a connection may be silent, in nanoseconds.
const IDLE: u64 = 120_000_000_000;
/// Length of a DNS header, and so of the shortest message.
const SHORTEST: usize = 12;

/// What was lost; each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Times that the place in a connection was lost: segments were not captured, or it is older than the agent, or it
    /// carries no DNS.
    pub(super) gaps: u64,
    /// Segments for which there was no room.
    pub(super) full: u64,
}

/// A connection: its network namespace and both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Connection {
    netns: u32,
    low: SocketAddr,
    high: SocketAddr,
}

#[derive(Debug, Default)]
struct Followed {
    /// From the lower address, and from the higher.
    halves: [Half; 2],
    used_ns: u64,
}

/// One direction.
#[derive(Debug, Default)]
struct Half {
    /// Sequence number of the byte that comes next, if known.
    next: Option<u32>,
    /// The beginning of a message.
    begun: Vec<u8>,
    ahead: Vec<(u32, Vec<u8>)>,
    ended: bool,
}

/// A captured segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) netns: u32,
    pub(super) time_ns: u64,
    pub(super) src: SocketAddr,
    pub(super) dst: SocketAddr,
    pub(super) segment: Segment,
    pub(super) payload: &'a [u8],
    /// The payload is longer than what was captured.
    pub(super) is_cut: bool,
}

/// The connections under way.
#[derive(Debug, Default)]
pub(super) struct Streams {
    connections: HashMap<Connection, Followed>,
    /// Bytes that are kept in all of them.
    kept: usize,
    pub(super) tally: Tally,
}

impl Streams {
    /// Takes a segment and calls `each` with every message that it completes.
    pub(super) fn take(&mut self, piece: &Piece<'_>, each: impl FnMut(&[u8])) {
        let (src, dst) = (piece.src, piece.dst);
        let connection = Connection {
            netns: piece.netns,
            low: src.min(dst),
            high: src.max(dst),
        };
        if piece.segment.is_rst() {
            self.forget(&connection);
            return;
        }
        let known = self.connections.contains_key(&connection);
        if !known && piece.payload.is_empty() && !piece.segment.is_syn() {
            return;
        }
        if !known && self.connections.len() >= MOST_CONNECTIONS {
            self.tally.full += 1;
            return;
        }
        let followed = self.connections.entry(connection).or_default();
        followed.used_ns = piece.time_ns;
        let half = &mut followed.halves[usize::from(src > dst)];
        let before = half.bytes();
        let room = MOST_BYTES.saturating_sub(self.kept);
        let taken = half.take(piece, room, each);
        let after = half.bytes();
        self.kept = (self.kept + after).saturating_sub(before);
        match taken {
            Ok(()) => {}
            Err(Lost::Place) => self.tally.gaps += 1,
            Err(Lost::Room) => self.tally.full += 1,
        }
        half.ended |= piece.segment.is_fin();
        if followed.halves.iter().all(|half| half.ended) {
            self.forget(&connection);
        }
    }

    /// Lets go of connections that were silent for long.
    pub(super) fn sweep(&mut self, now_ns: u64) {
        let kept = &mut self.kept;
        self.connections.retain(|_, followed| {
            let keep = now_ns.saturating_sub(followed.used_ns) < IDLE;
            if !keep {
                *kept = kept.saturating_sub(followed.bytes());
            }
            keep
        });
    }

    fn forget(&mut self, connection: &Connection) {
        if let Some(followed) = self.connections.remove(connection) {
            self.kept = self.kept.saturating_sub(followed.bytes());
        }
    }
}

impl Followed {
    fn bytes(&self) -> usize {
        self.halves.iter().map(Half::bytes).sum()
    }
}

enum Lost {
    Place,
    Room,
}

impl Half {
    fn bytes(&self) -> usize {
        let ahead: usize = self.ahead.iter().map(|(_, bytes)| bytes.len()).sum();
        self.begun.len() + ahead
    }

    fn take(
        &mut self,
        piece: &Piece<'_>,
        room: usize,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Lost> {
        let (segment, payload) = (piece.segment, piece.payload);
        let mut sequence = segment.sequence;
        if segment.is_syn() {
            sequence = sequence.wrapping_add(1);
            *self = Self {
                next: Some(sequence),
                ..Self::default()
            };
        }
        if payload.is_empty() {
            return Ok(());
        }
        let Some(next) = self.next else {
            // The beginning was not seen. A segment that holds whole messages shows where one begins.
            if !is_whole(payload) {
                return Err(Lost::Place);
            }
            self.next = Some(sequence);
            return self.take(piece, room, each);
        };
        let ahead = sequence.wrapping_sub(next) as i32;
        if ahead > 0 {
            return self.keep(sequence, payload, room);
        }
        // What was sent again is not new.
        let Some(new) = payload.get(ahead.unsigned_abs() as usize..) else {
            return Ok(());
        };
        self.append(new, room, &mut each)?;
        if piece.is_cut {
            self.lose();
            return Err(Lost::Place);
        }
        self.take_ahead(room, &mut each)
    }

    fn keep(&mut self, sequence: u32, payload: &[u8], room: usize) -> Result<(), Lost> {
        if self.ahead.len() >= MOST_AHEAD {
            // What is missing does not come any more.
            self.lose();
            return Err(Lost::Place);
        }
        if payload.len() > room {
            self.lose();
            return Err(Lost::Room);
        }
        self.ahead.push((sequence, payload.to_vec()));
        Ok(())
    }

    fn take_ahead(&mut self, room: usize, each: &mut impl FnMut(&[u8])) -> Result<(), Lost> {
        while let Some(next) = self.next {
            let Some(place) = self
                .ahead
                .iter()
                .position(|(sequence, _)| sequence.wrapping_sub(next) as i32 <= 0)
            else {
                break;
            };
            let (sequence, bytes) = self.ahead.swap_remove(place);
            if let Some(new) = bytes.get(next.wrapping_sub(sequence) as usize..) {
                self.append(new, room, each)?;
            }
        }
        Ok(())
    }

    fn append(
        &mut self,
        new: &[u8],
        room: usize,
        each: &mut impl FnMut(&[u8]),
    ) -> Result<(), Lost> {
        self.next = self.next.map(|next| next.wrapping_add(new.len() as u32));
        let mut begun = std::mem::take(&mut self.begun);
        let rest = if begun.is_empty() {
            messages(new, each)
        } else {
            begun.extend_from_slice(new);
            messages(&begun, each)
        };
        match rest {
            None => {
                self.lose();
                Err(Lost::Place)
            }
            Some(rest) if rest.len() > room => {
                self.lose();
                Err(Lost::Room)
            }
            Some(rest) => {
                self.begun = rest.to_vec();
                Ok(())
            }
        }
    }

    /// Where the next message begins is not known any more.
    fn lose(&mut self) {
        *self = Self {
            ended: self.ended,
            ..Self::default()
        };
    }
}

/// Calls `each` with every whole message and returns what is left; `None` where a length is none of DNS.
fn messages<'a>(mut bytes: &'a [u8], each: &mut impl FnMut(&[u8])) -> Option<&'a [u8]> {
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length));
        if length < SHORTEST {
            return None;
        }
        let Some((message, rest)) = rest.split_at_checked(length) else {
            break;
        };
        each(message);
        bytes = rest;
    }
    Some(bytes)
}

fn is_whole(bytes: &[u8]) -> bool {
    messages(bytes, &mut |_| {}).is_some_and(<[u8]>::is_empty)
}

#[cfg(test)]
mod tests;
