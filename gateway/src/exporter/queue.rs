//! What waits for the endpoint: one lane per signal, in memory or on disk, all within one limit.

mod disk;
mod memory;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use metrics::Gauge;
use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::error;
use weir_point::otlp::{OtlpBatch, Signal};

pub(super) use self::disk::Folder;
pub use self::disk::{Drained, OpenError, drain_queue};
use self::{disk::Log, memory::Memory};
use super::{
    config::Batch,
    ledger::{Amount, Cause, Ledger, float},
};

/// A batch was not taken. Whoever sent it should come again later.
#[derive(Debug, thiserror::Error)]
pub enum Full {
    /// The queue has no room for it.
    #[error("the queue of the exporter is full")]
    Queue,
    /// The queue on disk cannot be written.
    #[error("the queue of the exporter cannot be written")]
    Disk(#[source] io::Error),
    /// The exporter has stopped.
    #[error("the exporter has stopped")]
    Stopped,
}

/// How much all lanes may hold together.
#[derive(Debug)]
pub(super) struct Budget {
    limit: AtomicU64,
    used: AtomicU64,
    gauge: Gauge,
}

/// What waits of one signal.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) signal: Signal,
    pub(super) ledger: Ledger,
    store: Store,
    budget: Arc<Budget>,
    arrived: Notify,
}

#[derive(Debug)]
enum Store {
    Memory(Memory),
    Disk(Log),
}

/// Requests taken from a lane to be sent as one. They stay in its books until settled.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) pieces: Vec<Bytes>,
    pub(super) amount: Amount,
    span: Span,
}

/// A part of a segment on disk; in memory only its length counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    segment: u64,
    start: u64,
    end: u64,
}

/// What became of requests that were taken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    /// The endpoint has them, without `rejected` of the items.
    Sent { rejected: u64 },
    /// They are given up.
    Dropped(Cause),
}

/// What a store has at hand.
struct Read {
    taken: Taken,
    /// Damaged, and skipped.
    unreadable: Amount,
}

impl Span {
    fn len(&self) -> u64 {
        self.end - self.start
    }
}

impl Budget {
    /// `used` is what is there already.
    pub(super) fn new(limit: u64, gauge: Gauge) -> Self {
        Self {
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
            gauge,
        }
    }

    /// From now on `limit` bytes. What is there stays.
    pub(super) fn limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Release);
    }

    /// Room for `cost` bytes, if there is some. An empty queue takes anything, so that what
    /// is larger than the limit is not refused for ever.
    fn reserve(&self, cost: u64) -> bool {
        let limit = self.limit.load(Ordering::Acquire);
        let fits = |used: u64| {
            let after = used.saturating_add(cost);
            (used == 0 || after <= limit).then_some(after)
        };
        let reserved = self
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits)
            .is_ok();
        if reserved {
            self.gauge.increment(float(cost));
        }
        reserved
    }

    /// What was found at the start.
    fn found(&self, cost: u64) {
        self.used.fetch_add(cost, Ordering::AcqRel);
        self.gauge.increment(float(cost));
    }

    fn release(&self, cost: u64) {
        let less = |used: u64| Some(used.saturating_sub(cost));
        // Cannot fail, as there is always a new value.
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
            .unwrap_or_default();
        self.gauge.decrement(float(cost));
    }
}

impl Lane {
    pub(super) fn in_memory(signal: Signal, ledger: Ledger, budget: Arc<Budget>) -> Self {
        Self::new(signal, ledger, budget, Store::Memory(Memory::new()))
    }

    /// A lane on disk, with what it held when the process ended.
    pub(super) fn on_disk(
        signal: Signal,
        ledger: Ledger,
        budget: Arc<Budget>,
        folder: &Folder,
    ) -> Result<Self, OpenError> {
        let (log, found) = folder.open(signal)?;
        ledger.offered(found.amount);
        budget.found(found.cost);
        Ok(Self::new(signal, ledger, budget, Store::Disk(log)))
    }

    fn new(signal: Signal, ledger: Ledger, budget: Arc<Budget>, store: Store) -> Self {
        Self {
            signal,
            ledger,
            store,
            budget,
            arrived: Notify::new(),
        }
    }

    /// Whether what is in it outlives the process.
    pub(super) fn is_durable(&self) -> bool {
        matches!(self.store, Store::Disk(_))
    }

    /// Take a batch into the lane; on disk it is written when this returns.
    pub(super) fn offer(&self, batch: &OtlpBatch, limit: &Batch) -> Result<(), Full> {
        let amount = Amount {
            items: batch.items() as u64,
            bytes: batch.bytes().len() as u64,
        };
        if amount.bytes == 0 {
            return Ok(());
        }
        let cost = match self.store {
            Store::Memory(_) => memory::cost(amount),
            Store::Disk(_) => disk::cost(amount),
        };
        let pushed = if self.budget.reserve(cost) {
            let pushed = match &self.store {
                Store::Memory(memory) => memory.push(batch.bytes().clone(), amount, &self.ledger),
                Store::Disk(log) => log.push(batch.bytes(), amount, &self.ledger),
            };
            pushed.inspect_err(|_full| self.budget.release(cost))
        } else {
            Err(Full::Queue)
        };
        match pushed {
            Ok(unread) => {
                let before = unread - amount.bytes;
                if before == 0 || (before < limit.size && unread >= limit.size) {
                    self.arrived.notify_one();
                }
                Ok(())
            }
            Err(full) => {
                self.ledger.refused(amount.items, &full);
                Err(full)
            }
        }
    }

    /// Wait until there is enough for a request, or something that has waited long enough.
    /// False once `stop` is requested and nothing is left.
    pub(super) async fn ready(&self, batch: &Batch, stop: &CancellationToken) -> bool {
        while self.unread() == 0 {
            if stop.is_cancelled() {
                return false;
            }
            tokio::select! {
                () = self.arrived.notified() => {}
                () = stop.cancelled() => {}
            }
        }
        let deadline = Instant::now() + batch.delay;
        while self.unread() < batch.size && !stop.is_cancelled() {
            tokio::select! {
                () = self.arrived.notified() => {}
                () = sleep_until(deadline) => break,
                () = stop.cancelled() => {}
            }
        }
        true
    }

    fn unread(&self) -> u64 {
        match &self.store {
            Store::Memory(memory) => memory.unread(),
            Store::Disk(log) => log.unread(),
        }
    }

    /// The oldest requests, `most` bytes of them, but at least one; `None` if there is none
    /// that can be read. One taker at a time.
    pub(super) async fn take(self: &Arc<Self>, most: u64) -> Option<Taken> {
        let lane = Arc::clone(self);
        match &self.store {
            Store::Memory(memory) => memory.take(most),
            Store::Disk(_) => done(spawn_blocking(move || lane.read(most)).await).flatten(),
        }
    }

    fn read(&self, most: u64) -> Option<Taken> {
        let Store::Disk(log) = &self.store else {
            return None;
        };
        let Read { taken, unreadable } = log.take(most)?;
        if unreadable != Amount::default() {
            self.ledger.dropped(Cause::Unreadable, unreadable);
        }
        if taken.pieces.is_empty() {
            if log.settle(taken.span) {
                self.budget.release(taken.span.len());
            }
            return None;
        }
        Some(taken)
    }

    /// Account for what was taken; what is on disk is let go.
    pub(super) async fn settle(self: &Arc<Self>, taken: Taken, outcome: Outcome) {
        let lane = Arc::clone(self);
        match &self.store {
            Store::Memory(_) => self.close_books(&taken, outcome),
            // Done even if the waiting task is aborted, so that the books stay right.
            Store::Disk(_) => {
                let settle = move || lane.close_books(&taken, outcome);
                done(spawn_blocking(settle).await).unwrap_or_default();
            }
        }
    }

    fn close_books(&self, taken: &Taken, outcome: Outcome) {
        let settled = match &self.store {
            Store::Memory(memory) => memory.settle(taken.amount),
            Store::Disk(log) => log.settle(taken.span),
        };
        if !settled {
            return;
        }
        self.budget.release(taken.span.len());
        match outcome {
            Outcome::Sent { rejected } => self.ledger.sent(taken.amount, rejected),
            Outcome::Dropped(cause) => self.ledger.dropped(cause, taken.amount),
        }
    }

    /// Force what was written to the disk.
    pub(super) fn sync(&self) {
        if let Store::Disk(log) = &self.store {
            log.sync();
        }
    }

    /// Nothing is taken in and nothing is settled from now on. What is only in memory is
    /// counted as dropped; how much that was.
    pub(super) fn close(&self) -> Amount {
        match &self.store {
            Store::Memory(memory) => {
                let left = memory.close();
                self.ledger.dropped(Cause::Stopped, left);
                left
            }
            Store::Disk(log) => {
                log.close();
                Amount::default()
            }
        }
    }
}

/// The result of a blocking task; `None` if it panicked.
fn done<T>(result: Result<T, tokio::task::JoinError>) -> Option<T> {
    result
        .inspect_err(|failure| {
            error!(
                error = failure as &dyn std::error::Error,
                "reading or writing a queue failed"
            );
        })
        .ok()
}
