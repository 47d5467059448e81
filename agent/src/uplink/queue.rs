//! Batches that the gateway has not acknowledged yet, in order, within a budget of bytes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prost::Message as _;
use tokio::sync::Notify;
use weir_proto::flow::v1::{Counter, FlowBatch, FlowEvent};

use crate::status::counter;

#[derive(Debug)]
struct Kept {
    batch: Arc<FlowBatch>,
    bytes: usize,
}

/// Counts of rows. `rows = acked + dropped + queued`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that were put in.
    pub rows: u64,
    /// Rows that the gateway has acknowledged.
    pub acked_rows: u64,
    /// Rows thrown away because the queue was full.
    pub dropped_rows: u64,
    /// Rows that wait.
    pub queued_rows: u64,
}

#[derive(Debug, Default)]
struct Inner {
    batches: VecDeque<Kept>,
    bytes: usize,
    last_sequence: u64,
    /// Highest sequence that was ever sent: the gateway may have it.
    sent: u64,
    closed: bool,
    tally: Tally,
    limit: usize,
}

/// The queue between the collectors and the uplink.
#[derive(Debug)]
pub struct Queue {
    inner: Mutex<Inner>,
    changed: Notify,
}

impl Inner {
    /// Drops what exceeds the limit: the oldest batch that was never sent first.
    fn shed(&mut self) {
        while self.bytes > self.limit {
            let sent = self.sent;
            let oldest = self
                .batches
                .iter()
                .position(|kept| kept.batch.sequence > sent)
                .unwrap_or(0);
            let Some(kept) = self.batches.remove(oldest) else {
                break;
            };
            let rows = kept.batch.events.len() as u64;
            self.bytes -= kept.bytes;
            self.tally.queued_rows -= rows;
            self.tally.dropped_rows += rows;
        }
    }
}

impl Queue {
    /// A queue of at most `limit` bytes, as the batches are encoded.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                limit,
                ..Inner::default()
            }),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change below leaves the fields consistent, so a panic elsewhere does no harm here.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers the rows as one batch and keeps it. What exceeds the limit is dropped and counted: the
    /// oldest batch that was never sent first, because the gateway may already have the others.
    pub fn push(&self, events: Vec<FlowEvent>) {
        let mut inner = self.lock();
        inner.last_sequence += 1;
        let batch = FlowBatch {
            sequence: inner.last_sequence,
            events,
        };
        let (bytes, rows) = (batch.encoded_len(), batch.events.len() as u64);
        inner.bytes += bytes;
        inner.tally.rows += rows;
        inner.tally.queued_rows += rows;
        inner.batches.push_back(Kept {
            batch: Arc::new(batch),
            bytes,
        });
        inner.shed();
        drop(inner);
        self.changed.notify_one();
    }

    /// From now on at most `limit` bytes. What is more goes, and is counted, as when a batch comes.
    pub fn limit(&self, limit: usize) {
        let mut inner = self.lock();
        inner.limit = limit;
        inner.shed();
    }

    /// The first batch after `sequence`; it counts as sent from now on.
    pub(super) fn send_after(&self, sequence: u64) -> Option<Arc<FlowBatch>> {
        let mut inner = self.lock();
        let kept = inner
            .batches
            .iter()
            .find(|kept| kept.batch.sequence > sequence)?;
        let batch = Arc::clone(&kept.batch);
        inner.sent = inner.sent.max(batch.sequence);
        Some(batch)
    }

    /// Releases every batch up to and including `sequence`.
    pub(super) fn ack(&self, sequence: u64) {
        let mut inner = self.lock();
        while inner
            .batches
            .front()
            .is_some_and(|kept| kept.batch.sequence <= sequence)
        {
            let Some(kept) = inner.batches.pop_front() else {
                break;
            };
            let rows = kept.batch.events.len() as u64;
            inner.bytes -= kept.bytes;
            inner.tally.queued_rows -= rows;
            inner.tally.acked_rows += rows;
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// Says that no more rows will come: the uplink may end once everything is acknowledged.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Whether the queue is closed and everything in it was acknowledged.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let inner = self.lock();
        inner.closed && inner.batches.is_empty()
    }

    /// Waits until something was put in, acknowledged, or closed since the last wait. One waiter only.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The counts so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.lock().tally
    }

    /// The counts as the status message has them.
    pub(super) fn counters(&self) -> Vec<Counter> {
        let tally = self.tally();
        vec![
            counter("uplink_rows", "", tally.rows),
            counter("uplink_rows_acked", "", tally.acked_rows),
            counter("uplink_rows_dropped", "queue_full", tally.dropped_rows),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize) -> Vec<FlowEvent> {
        vec![
            FlowEvent {
                process_name: "x".repeat(100),
                ..FlowEvent::default()
            };
            count
        ]
    }

    fn balanced(tally: Tally) -> bool {
        tally.rows == tally.acked_rows + tally.dropped_rows + tally.queued_rows
    }

    #[test]
    fn a_batch_is_kept_until_it_is_acknowledged() {
        let queue = Queue::new(1 << 20);
        queue.push(rows(2));
        queue.push(rows(3));

        let first = queue.send_after(0).unwrap();
        assert_eq!(first.sequence, 1);
        assert_eq!(
            queue.send_after(0).unwrap().sequence,
            1,
            "sent again after a reconnect"
        );
        queue.ack(1);

        assert_eq!(queue.send_after(0).unwrap().sequence, 2);
        assert_eq!(
            queue.tally(),
            Tally {
                rows: 5,
                acked_rows: 2,
                dropped_rows: 0,
                queued_rows: 3
            }
        );
    }

    #[test]
    fn a_full_queue_drops_the_oldest_unsent_rows_and_counts_them() {
        let queue = Queue::new(1000);
        queue.push(rows(4));
        assert_eq!(queue.send_after(0).unwrap().sequence, 1);
        queue.push(rows(4));
        queue.push(rows(4));

        assert_eq!(
            queue.send_after(0).unwrap().sequence,
            1,
            "the gateway may have it: kept"
        );
        assert_eq!(
            queue.send_after(1).unwrap().sequence,
            3,
            "the oldest unsent is gone"
        );
        let tally = queue.tally();
        assert_eq!(tally.dropped_rows, 4);
        assert!(balanced(tally), "{tally:?}");
    }

    #[test]
    fn a_batch_bigger_than_the_whole_queue_is_dropped_and_counted() {
        let queue = Queue::new(10);
        queue.push(rows(4));
        assert!(queue.send_after(0).is_none());
        assert_eq!(queue.tally().dropped_rows, 4);
    }

    #[test]
    fn the_queue_is_drained_only_when_closed_and_acknowledged() {
        let queue = Queue::new(1 << 20);
        queue.push(rows(1));
        queue.close();
        assert!(!queue.is_drained());
        queue.ack(1);
        assert!(queue.is_drained());
    }

    #[test]
    fn the_counts_balance_whatever_happens() {
        let mut random = fastrand::Rng::with_seed(11);
        let queue = Queue::new(5_000);
        let mut sent = 0;
        for _ in 0..10_000 {
            match random.u8(0..3) {
                0 => queue.push(rows(random.usize(0..20))),
                1 => sent = queue.send_after(sent).map_or(0, |batch| batch.sequence),
                _ => queue.ack(random.u64(0..=sent)),
            }
            assert!(balanced(queue.tally()));
        }
    }
}
