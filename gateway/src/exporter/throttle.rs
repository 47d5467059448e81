//! Log lines that would repeat for every request: one in a while.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Throttle {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Throttle {
    /// Calls `log` with how many times it was not called since the last time, unless that
    /// was a moment ago.
    pub(super) fn run(&self, log: impl FnOnce(u64)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, left_out) = &mut *state;
        if last.is_some_and(|last| last.elapsed() < INTERVAL) {
            *left_out += 1;
            return;
        }
        *last = Some(Instant::now());
        let left_out = std::mem::take(left_out);
        drop(state);
        log(left_out);
    }
}
