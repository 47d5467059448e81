//! The memory that all requests under way share.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::refusal::Refusal;

/// Bytes that requests may hold together.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
        })
    }

    /// The part of one request, nothing yet.
    pub(crate) fn charge(self: &Arc<Self>) -> Charge {
        Charge {
            budget: Arc::clone(self),
            bytes: 0,
        }
    }

    fn take(&self, bytes: usize) -> Result<(), Refusal> {
        let room = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, room)
            .map(drop)
            .map_err(|_used| Refusal::Memory)
    }
}

/// What one request holds. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// Takes `bytes` more. Never waits: requests that wait for each other's memory would stop the intake.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.budget.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_held_is_there_for_the_next_one() {
        let budget = Budget::new(100);
        let mut first = budget.charge();
        first.add(60).expect("room");
        let mut second = budget.charge();
        second.add(40).expect("room");
        assert!(matches!(second.add(1), Err(Refusal::Memory)));
        drop(first);
        second.add(60).expect("room again");
        drop(second);
        assert_eq!(budget.used.load(Ordering::Acquire), 0);
        assert!(budget.charge().add(usize::MAX).is_err());
    }
}
