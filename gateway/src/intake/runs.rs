//! Which batches of which agent run were already processed.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use hashbrown::HashMap;
use metrics::Counter;

/// One run of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RunId {
    pub(super) agent: Box<str>,
    pub(super) epoch: u64,
}

/// Remembers the last sequence of up to `limit` runs; to make room, the one that has
/// been without a stream for longest is forgotten.
#[derive(Debug)]
pub(super) struct Runs {
    limit: usize,
    forgotten: Counter,
    entries: Mutex<HashMap<RunId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    run: Arc<Run>,
    streams: usize,
    idle_since: Instant,
}

/// Every run that is remembered has an open stream, and there is no room for more.
#[derive(Debug)]
pub(super) struct NoRoom;

/// What the number of a batch says about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It was processed now; `missing` batches before it never came.
    Processed { missing: u64 },
    /// It was processed before.
    Duplicate,
}

#[derive(Debug, Default)]
struct Run {
    /// Highest sequence processed, 0 before the first.
    last: Mutex<u64>,
}

impl Runs {
    pub(super) fn new(limit: usize, forgotten: Counter) -> Self {
        Self {
            limit: limit.max(1),
            forgotten,
            entries: Mutex::default(),
        }
    }

    /// A stream of the run `id` opens.
    pub(super) fn open(self: &Arc<Self>, id: RunId) -> Result<OpenRun, NoRoom> {
        let mut entries = lock(&self.entries);
        if !entries.contains_key(&id) && entries.len() >= self.limit {
            let oldest = entries
                .iter()
                .filter(|(_, entry)| entry.streams == 0)
                .min_by_key(|(_, entry)| entry.idle_since)
                .map(|(id, _)| id.clone())
                .ok_or(NoRoom)?;
            entries.remove(&oldest);
            self.forgotten.increment(1);
        }
        let entry = entries.entry(id.clone()).or_insert_with(|| Entry {
            run: Arc::default(),
            streams: 0,
            idle_since: Instant::now(),
        });
        entry.streams += 1;
        Ok(OpenRun {
            run: Arc::clone(&entry.run),
            id,
            runs: Arc::clone(self),
        })
    }
}

/// A run with an open stream: it is not forgotten as long as this lives.
#[derive(Debug)]
pub(super) struct OpenRun {
    run: Arc<Run>,
    id: RunId,
    runs: Arc<Runs>,
}

impl OpenRun {
    /// The highest sequence processed, 0 if none.
    pub(super) fn last_sequence(&self) -> u64 {
        *lock(&self.run.last)
    }

    /// Do `work` unless the batch `sequence` was processed before. Deciding and doing
    /// is one step for all streams of the run, so an old stream that is still half
    /// open cannot slip the same batch in beside the new one.
    pub(super) fn process(&self, sequence: u64, work: impl FnOnce()) -> Turn {
        let mut last = lock(&self.run.last);
        if sequence <= *last {
            return Turn::Duplicate;
        }
        work();
        // The first one seen may follow others that an earlier gateway had.
        let missing = if *last == 0 { 0 } else { sequence - *last - 1 };
        *last = sequence;
        Turn::Processed { missing }
    }
}

impl Drop for OpenRun {
    fn drop(&mut self) {
        if let Some(entry) = lock(&self.runs.entries).get_mut(&self.id) {
            entry.streams -= 1;
            entry.idle_since = Instant::now();
        }
    }
}

/// Each change is complete before anything can panic, so a poisoned lock is usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(agent: &str, epoch: u64) -> RunId {
        RunId {
            agent: agent.into(),
            epoch,
        }
    }

    fn runs(limit: usize) -> Arc<Runs> {
        Arc::new(Runs::new(limit, Counter::noop()))
    }

    #[test]
    fn every_sequence_is_processed_once_over_reconnects() {
        let runs = runs(10);
        let mut done = Vec::new();
        for connection in [vec![1, 2, 3], vec![2, 3, 4], vec![4, 7]] {
            let run = runs.open(id("a", 1)).expect("room");
            for sequence in connection {
                run.process(sequence, || done.push(sequence));
            }
        }
        assert_eq!(done, [1, 2, 3, 4, 7]);
    }

    #[test]
    fn a_gap_is_told_but_not_before_the_first_batch_seen() {
        let run = runs(10).open(id("a", 1)).expect("room");
        assert_eq!(run.process(57, || {}), Turn::Processed { missing: 0 });
        assert_eq!(run.process(58, || {}), Turn::Processed { missing: 0 });
        assert_eq!(run.process(61, || {}), Turn::Processed { missing: 2 });
        assert_eq!(run.process(60, || {}), Turn::Duplicate);
        assert_eq!(
            run.process(u64::MAX, || {}),
            Turn::Processed {
                missing: u64::MAX - 62
            }
        );
    }

    #[test]
    fn a_new_epoch_starts_again_at_one() {
        let runs = runs(10);
        let old = runs.open(id("a", 1)).expect("room");
        let new = runs.open(id("a", 2)).expect("room");
        assert_eq!(old.process(1, || {}), Turn::Processed { missing: 0 });
        assert_eq!(new.process(1, || {}), Turn::Processed { missing: 0 });
        assert_eq!((old.last_sequence(), new.last_sequence()), (1, 1));
    }

    #[test]
    fn the_run_without_a_stream_for_longest_makes_room() {
        let runs = runs(2);
        let open = runs.open(id("open", 1)).expect("room");
        for agent in ["first", "second"] {
            let run = runs.open(id(agent, 1)).expect("room");
            run.process(5, || {});
        }
        let second = runs.open(id("second", 1)).expect("room");
        assert_eq!(second.last_sequence(), 5, "still remembered");
        assert!(runs.open(id("first", 1)).is_err(), "both have a stream");
        drop((open, second));
        let first = runs.open(id("first", 1)).expect("room");
        assert_eq!(first.last_sequence(), 0, "forgotten before");
    }

    #[test]
    fn two_streams_of_one_run_never_process_a_batch_twice() {
        let runs = runs(10);
        let done = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let run = runs.open(id("a", 1)).expect("room");
                    for sequence in 1..=1000 {
                        run.process(sequence, || lock(&done).push(sequence));
                    }
                });
            }
        });
        let mut done = lock(&done).clone();
        done.sort_unstable();
        assert!(done.windows(2).all(|pair| pair[0] < pair[1]), "no doubles");
        assert!(done.contains(&1000));
    }
}
