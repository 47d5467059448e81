//! A lane in memory: gone with the process.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::{Full, Span, Taken};
use crate::exporter::ledger::{Amount, Ledger};

/// What a request costs beside its bytes.
const OVERHEAD: u64 = 64;

#[derive(Debug)]
pub(super) struct Memory {
    /// Bytes; changed only with the state locked, read at any time.
    unread: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(Bytes, Amount)>,
    /// Waiting or under way.
    unsettled: Amount,
    closed: bool,
}

pub(super) fn cost(amount: Amount) -> u64 {
    amount.bytes + OVERHEAD
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            unread: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    pub(super) fn unread(&self) -> u64 {
        self.unread.load(Ordering::Acquire)
    }

    /// The bytes that wait afterwards.
    pub(super) fn push(&self, bytes: Bytes, amount: Amount, ledger: &Ledger) -> Result<u64, Full> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(Full::Stopped);
        }
        // Before anyone can take it, so that it is never settled first.
        ledger.offered(amount);
        state.waiting.push_back((bytes, amount));
        state.unsettled.add(amount);
        Ok(self.unread.fetch_add(amount.bytes, Ordering::AcqRel) + amount.bytes)
    }

    pub(super) fn take(&self, most: u64) -> Option<Taken> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = Amount::default();
        let mut pieces = Vec::new();
        let mut costs = 0;
        while let Some((_, amount)) = state.waiting.front() {
            if !pieces.is_empty() && total.bytes + amount.bytes > most {
                break;
            }
            let Some((bytes, amount)) = state.waiting.pop_front() else {
                break;
            };
            total.add(amount);
            costs += cost(amount);
            pieces.push(bytes);
        }
        self.unread.fetch_sub(total.bytes, Ordering::AcqRel);
        (!pieces.is_empty()).then_some(Taken {
            pieces,
            amount: total,
            span: Span {
                segment: 0,
                start: 0,
                end: costs,
            },
        })
    }

    /// Whether it was still in the books.
    pub(super) fn settle(&self, amount: Amount) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.closed {
            state.unsettled.subtract(amount);
        }
        !state.closed
    }

    /// What is waiting or under way is given up; how much.
    pub(super) fn close(&self) -> Amount {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        state.waiting.clear();
        self.unread.store(0, Ordering::Release);
        std::mem::take(&mut state.unsettled)
    }
}
