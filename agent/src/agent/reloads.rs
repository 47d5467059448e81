//! What became of configurations, as the status has it.

use std::{sync::Arc, time::SystemTime};

use weir_runtime::reload::Outcome;

use crate::status::{Status, counter};

/// Counts configurations and settings that were read while the agent runs.
pub(super) struct Reloads {
    status: Arc<Status>,
    /// In the order of [`Outcome::ALL`].
    counts: [u64; Outcome::ALL.len()],
    /// When the configuration in force was read, in seconds since the Unix epoch.
    loaded: u64,
}

impl Reloads {
    /// None yet; the one of the start was just read.
    pub(super) fn new(status: Arc<Status>) -> Self {
        let reloads = Self {
            status,
            counts: [0; Outcome::ALL.len()],
            loaded: unix_seconds(),
        };
        reloads.tell();
        reloads
    }

    pub(super) fn count(&mut self, outcome: Outcome) {
        self.counts[outcome as usize] += 1;
        if matches!(outcome, Outcome::Applied | Outcome::Partly) {
            self.loaded = unix_seconds();
        }
        self.tell();
    }

    fn tell(&self) {
        let counts = Outcome::ALL.iter().zip(self.counts);
        let mut counters: Vec<_> = counts
            .map(|(outcome, count)| counter("config_reloads", outcome.name(), count))
            .collect();
        counters.push(counter("config_loaded_timestamp_seconds", "", self.loaded));
        self.status.set("config", counters);
    }
}

fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
