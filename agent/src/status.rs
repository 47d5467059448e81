//! What the agent knows of itself, for the gateway to show.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use weir_proto::flow::v1::{AgentStatus, Counter, Hook};

use crate::netflow::kernel::Chosen;

/// Counters and hooks of every part of the agent.
#[derive(Debug, Default)]
pub struct Status {
    parts: Mutex<BTreeMap<&'static str, Part>>,
}

#[derive(Debug, Default)]
struct Part {
    counters: Vec<Counter>,
    /// What was counted by those of this part that have ended.
    before: Vec<Counter>,
    hooks: Vec<Hook>,
}

impl Status {
    /// Replaces the counters of one part.
    pub fn set(&self, part: &'static str, counters: Vec<Counter>) {
        self.lock().entry(part).or_default().counters = counters;
    }

    /// Replaces the hooks of one part.
    pub fn set_hooks(&self, part: &'static str, hooks: &[Chosen]) {
        let hooks = hooks.iter().map(|chosen| Hook {
            event: chosen.event.to_owned(),
            hook: chosen.hook.to_owned(),
            reason: chosen.reason.clone(),
        });
        self.lock().entry(part).or_default().hooks = hooks.collect();
    }

    /// One part has ended: it has no hooks, and who takes its place counts from 0 and goes on from here.
    pub fn ended(&self, part: &'static str) {
        let mut parts = self.lock();
        let part = parts.entry(part).or_default();
        part.before = part.total();
        part.counters.clear();
        part.hooks.clear();
    }

    /// Everything, as it is now.
    #[must_use]
    pub fn message(&self) -> AgentStatus {
        let parts = self.lock();
        AgentStatus {
            counters: parts.values().flat_map(Part::total).collect(),
            hooks: parts
                .values()
                .flat_map(|part| &part.hooks)
                .cloned()
                .collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Part>> {
        // Every change leaves the parts consistent.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn total(&self) -> Vec<Counter> {
        let mut total = self.counters.clone();
        for before in &self.before {
            let is_it = |now: &&mut Counter| now.name == before.name && now.cause == before.cause;
            match total.iter_mut().find(is_it) {
                Some(now) => now.value = now.value.saturating_add(before.value),
                None => total.push(before.clone()),
            }
        }
        total
    }
}

/// A counter of the status message; `cause` is empty where there is none.
#[must_use]
pub fn counter(name: &str, cause: &str, value: u64) -> Counter {
    Counter {
        name: name.to_owned(),
        cause: cause.to_owned(),
        value,
    }
}

/// Whether a counter of this name is a point in time, in seconds since the Unix epoch: those go forward, but are no
/// counts. They are shown as gauges, without `_total`.
#[must_use]
pub fn is_time(name: &str) -> bool {
    name.ends_with("_timestamp_seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_starts_again_goes_on_counting_where_it_was() {
        let status = Status::default();
        status.set(
            "netflow",
            vec![counter("rows", "", 5), counter("lost", "a", 1)],
        );
        let chosen = Chosen {
            event: "udp",
            hook: "fexit",
            reason: String::new(),
        };
        status.set_hooks("netflow", &[chosen]);
        assert_eq!(status.message().hooks.len(), 1);
        status.ended("netflow");
        assert_eq!(status.message().hooks, []);
        status.set(
            "netflow",
            vec![counter("rows", "", 2), counter("lost", "b", 3)],
        );
        let mut counters = status.message().counters;
        counters.sort_by(|a, b| (&a.name, &a.cause).cmp(&(&b.name, &b.cause)));
        assert_eq!(
            counters,
            [
                counter("lost", "a", 1),
                counter("lost", "b", 3),
                counter("rows", "", 7),
            ]
        );
        status.ended("netflow");
        assert_eq!(status.message().counters.len(), 3);
    }
}
