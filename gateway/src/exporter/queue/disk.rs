//! A lane on disk: segments that are only appended to, and a position that says what is delivered.

mod drain;
mod folder;
mod position;
mod record;
mod segment;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use metrics::Counter;
use tracing::{error, warn};
use weir_point::otlp::Signal;

pub(in crate::exporter) use self::folder::Folder;
pub use self::{
    drain::{Drained, drain_queue},
    folder::OpenError,
};
use self::{
    position::{Place, Position, PositionFile},
    record::{Damage, HEADER, Header},
    segment::{Segment, Segments},
};
use super::{Full, Read, Span, Taken};
use crate::exporter::ledger::{Amount, Ledger};

/// One signal of one exporter on disk.
#[derive(Debug)]
pub(super) struct Log {
    signal: Signal,
    unreadable: Counter,
    /// Bytes of requests; changed only with the state locked, read at any time.
    unread: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    segments: Segments,
    /// What was under way when the process ended, and how much is in it; it goes first.
    again: VecDeque<(Span, Amount)>,
    /// Everything before it has been taken.
    head: Place,
    in_flight: Vec<Span>,
    position: PositionFile,
    closed: bool,
}

/// A part of a segment that nobody has taken.
struct Untaken {
    segment: Arc<Segment>,
    span: Span,
    amount: Amount,
    /// It was under way when the process ended.
    is_again: bool,
}

/// What was on disk at the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) amount: Amount,
    pub(super) cost: u64,
}

pub(super) fn cost(amount: Amount) -> u64 {
    amount.bytes + HEADER as u64
}

impl Log {
    pub(super) fn unread(&self) -> u64 {
        self.unread.load(Ordering::Acquire)
    }

    /// Write a request; it outlives the process when this returns. The bytes that wait afterwards.
    pub(super) fn push(&self, bytes: &Bytes, amount: Amount, ledger: &Ledger) -> Result<u64, Full> {
        let header = Header::of(self.signal, amount.items, bytes).map_err(Full::Disk)?;
        let mut state = self.state();
        if state.closed {
            return Err(Full::Stopped);
        }
        state
            .segments
            .append(&header.encode(), bytes, amount)
            .map_err(Full::Disk)?;
        ledger.offered(amount);
        Ok(self.unread.fetch_add(amount.bytes, Ordering::AcqRel) + amount.bytes)
    }

    /// The oldest requests, `most` bytes of them, but at least one.
    pub(super) fn take(&self, most: u64) -> Option<Read> {
        let untaken = self.state().next()?;
        // One taker at a time, so nothing but the end of the segment moves meanwhile.
        let mut reader = Reader::new(self, &untaken, most);
        reader.read_or_skip(untaken.amount);
        let taken = Span {
            end: reader.at,
            ..untaken.span
        };
        let mut gone = reader.amount;
        gone.add(reader.lost);
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.advance(taken, gone, untaken.is_again);
        self.unread.fetch_sub(gone.bytes, Ordering::AcqRel);
        drop(state);
        Some(Read {
            taken: Taken {
                pieces: reader.pieces,
                amount: reader.amount,
                span: taken,
            },
            unreadable: reader.lost,
        })
    }

    /// What was taken is delivered or given up. Whether it was still in the books.
    pub(super) fn settle(&self, span: Span) -> bool {
        let mut state = self.state();
        if state.closed {
            return false;
        }
        state.settle(span);
        true
    }

    pub(super) fn sync(&self) {
        let unsynced = self.state().segments.unsynced();
        for segment in unsynced {
            if let Err(error) = segment.file.sync_data() {
                let file = segment.path.display();
                warn!(%file, error = &error as &dyn std::error::Error, "cannot force a queue to the disk");
            }
        }
    }

    /// Nothing is written from now on.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.sync();
    }

    fn report(&self, segment: &Segment, at: u64, bytes: u64, damage: &Damage) {
        self.unreadable.increment(bytes);
        report(segment, at, bytes, damage);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn report(segment: &Segment, at: u64, bytes: u64, damage: &Damage) {
    let file = segment.path.display();
    error!(
        %file,
        at,
        bytes,
        error = damage as &dyn std::error::Error,
        "a part of a queue on disk cannot be read and is skipped"
    );
}

impl State {
    /// The oldest requests that nobody has taken.
    fn next(&mut self) -> Option<Untaken> {
        while let Some((span, amount)) = self.again.front() {
            if let Some(segment) = self.segments.get(span.segment) {
                return Some(Untaken {
                    segment,
                    span: *span,
                    amount: *amount,
                    is_again: true,
                });
            }
            self.again.pop_front();
        }
        loop {
            let (number, end, segment) = self.segments.at_or_after(self.head.segment)?;
            if number != self.head.segment {
                self.head = Place {
                    segment: number,
                    offset: 0,
                };
            }
            let span = Span {
                segment: number,
                start: self.head.offset,
                end,
            };
            if span.start < span.end {
                return Some(Untaken {
                    segment,
                    span,
                    amount: self.segments.unread(number),
                    is_again: false,
                });
            }
            if self.segments.is_last(number) {
                return None;
            }
            self.head = Place {
                segment: number + 1,
                offset: 0,
            };
        }
    }

    fn advance(&mut self, taken: Span, gone: Amount, is_again: bool) {
        if is_again {
            if let Some((span, amount)) = self.again.front_mut() {
                span.start = taken.end;
                amount.subtract(gone);
                if span.len() == 0 {
                    self.again.pop_front();
                }
            }
        } else {
            self.head.offset = taken.end;
            self.segments.taken(taken.segment, gone);
        }
        self.in_flight.push(taken);
    }

    fn settle(&mut self, span: Span) {
        self.in_flight.retain(|under_way| *under_way != span);
        let emptied = self.segments.settle(span);
        let outstanding = self
            .in_flight
            .iter()
            .chain(self.again.iter().map(|(span, _)| span))
            .copied()
            .collect();
        let position = Position {
            head: self.head,
            outstanding,
        };
        if let Err(error) = self.position.store(&position) {
            // What is delivered now would come again after a restart; nothing is lost.
            warn!(
                error = &error as &dyn std::error::Error,
                "cannot write the position of a queue"
            );
        }
        for segment in emptied {
            segment.remove();
        }
    }
}

/// Reads whole records from one segment.
struct Reader<'a> {
    log: &'a Log,
    segment: &'a Segment,
    most: u64,
    at: u64,
    end: u64,
    pieces: Vec<Bytes>,
    amount: Amount,
    /// In what is damaged.
    lost: Amount,
}

impl<'a> Reader<'a> {
    fn new(log: &'a Log, untaken: &'a Untaken, most: u64) -> Self {
        Self {
            log,
            segment: &untaken.segment,
            most,
            at: untaken.span.start,
            end: untaken.span.end,
            pieces: Vec::new(),
            amount: Amount::default(),
            lost: Amount::default(),
        }
    }

    /// Where reading cannot go on, the rest of `all` is lost.
    fn read_or_skip(&mut self, all: Amount) {
        let Err(damage) = self.read() else { return };
        self.log
            .report(self.segment, self.at, self.end - self.at, &damage);
        let mut rest = all;
        rest.subtract(self.amount);
        rest.subtract(self.lost);
        self.lost.add(rest);
        self.at = self.end;
    }

    /// Stops before the record that does not fit any more. On an error `at` is where reading
    /// cannot go on.
    fn read(&mut self) -> Result<(), Damage> {
        let (segment, signal) = (self.segment, self.log.signal);
        let want = self.most.saturating_add(HEADER as u64);
        let mut buffer = segment.read(self.at, want.min(self.end - self.at))?;
        while self.at < self.end {
            let mut header = Header::decode(&buffer, signal);
            if matches!(header, Err(Damage::Cut)) && (buffer.len() as u64) < self.end - self.at {
                // The buffer ends here, not the segment.
                if !self.pieces.is_empty() {
                    return Ok(());
                }
                buffer = segment.read(self.at, HEADER as u64)?;
                header = Header::decode(&buffer, signal);
            }
            let header = header?;
            let whole = HEADER as u64 + header.length;
            if whole > self.end - self.at {
                return Err(Damage::Cut);
            }
            let fits = self.amount.bytes + header.length <= self.most;
            if !fits && !self.pieces.is_empty() {
                return Ok(());
            }
            if (buffer.len() as u64) < whole {
                if !self.pieces.is_empty() {
                    return Ok(());
                }
                buffer = segment.read(self.at, whole)?;
            }
            let content = buffer.split_to(whole as usize).split_off(HEADER);
            let amount = Amount {
                items: header.items,
                bytes: header.length,
            };
            if header.fits(&content) {
                self.pieces.push(content);
                self.amount.add(amount);
            } else {
                self.log.report(segment, self.at, whole, &Damage::Content);
                self.lost.add(amount);
            }
            self.at += whole;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
