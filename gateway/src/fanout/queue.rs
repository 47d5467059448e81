//! The bounded queue in front of an output, measured in Points.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{
    Semaphore,
    mpsc::{self, error::TrySendError},
};
use tracing::warn;

use super::{Cause, Ledger};

/// A queue for about `limit` Points: it takes items whole while fewer than `limit`
/// Points wait, so that an item larger than the limit can pass. Items that the
/// receiver leaves behind are counted as dropped by `cause_left`.
pub fn queue<T>(limit: usize, ledger: Arc<Ledger>, cause_left: Cause) -> (Sender<T>, Receiver<T>) {
    let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
    let waiting = Arc::new(AtomicUsize::new(0));
    // Every item has at least one Point, so the channel itself never is the limit.
    let (sender, receiver) = mpsc::channel(limit);
    (
        Sender {
            limit,
            waiting: Arc::clone(&waiting),
            ledger: Arc::clone(&ledger),
            cause_left,
            sender,
        },
        Receiver {
            waiting,
            ledger,
            cause_left,
            receiver,
        },
    )
}

/// The side of the fan-out.
#[derive(Debug)]
pub struct Sender<T> {
    limit: usize,
    waiting: Arc<AtomicUsize>,
    ledger: Arc<Ledger>,
    cause_left: Cause,
    sender: mpsc::Sender<(T, usize)>,
}

impl<T> Sender<T> {
    /// Queue an item of `points` Points, at least one; returns whether it fitted. One
    /// that did not is dropped and counted.
    pub fn offer(&self, item: T, points: usize) -> bool {
        debug_assert!(points > 0, "an item without Points would not be limited");
        self.ledger.offered(points);
        let before = self.waiting.fetch_add(points, Ordering::AcqRel);
        let cause = if before >= self.limit {
            Cause::QueueFull
        } else {
            match self.sender.try_send((item, points)) {
                Ok(()) => {
                    self.ledger.queued(points);
                    return true;
                }
                Err(TrySendError::Full(_)) => Cause::QueueFull,
                Err(TrySendError::Closed(_)) => self.cause_left,
            }
        };
        self.waiting.fetch_sub(points, Ordering::AcqRel);
        self.ledger.dropped(cause, points);
        false
    }
}

/// The side of the output.
#[derive(Debug)]
pub struct Receiver<T> {
    waiting: Arc<AtomicUsize>,
    ledger: Arc<Ledger>,
    cause_left: Cause,
    receiver: mpsc::Receiver<(T, usize)>,
}

impl<T> Receiver<T> {
    /// The next item and its number of Points; `None` once the queue is closed and
    /// empty. The caller counts what becomes of them.
    pub async fn recv(&mut self) -> Option<(T, usize)> {
        let (item, points) = self.receiver.recv().await?;
        self.taken(points);
        Some((item, points))
    }

    fn taken(&self, points: usize) {
        self.waiting.fetch_sub(points, Ordering::AcqRel);
        self.ledger.unqueued(points);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.receiver.close();
        let mut left = 0;
        while let Ok((_, points)) = self.receiver.try_recv() {
            self.taken(points);
            self.ledger.dropped(self.cause_left, points);
            left += points;
        }
        if left > 0 && self.cause_left == Cause::Stopped {
            let output = self.ledger.output();
            warn!(output, points = left, "points were left in a queue");
        }
    }
}
