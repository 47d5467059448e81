//! What the agent knows of itself, for the gateway to show.

use std::{collections::BTreeMap, sync::Mutex};

use weir_proto::flow::v1::{AgentStatus, Counter, Hook};

/// Counters of every part of the agent, and its hooks.
#[derive(Debug, Default)]
pub struct Status {
    parts: Mutex<BTreeMap<&'static str, Vec<Counter>>>,
    hooks: Vec<Hook>,
}

impl Status {
    /// Status of an agent that observes with `hooks`.
    #[must_use]
    pub fn new(hooks: Vec<Hook>) -> Self {
        Self {
            parts: Mutex::default(),
            hooks,
        }
    }

    /// Replaces the counters of one part.
    pub fn set(&self, part: &'static str, counters: Vec<Counter>) {
        if let Ok(mut parts) = self.parts.lock() {
            parts.insert(part, counters);
        }
    }

    /// Everything, as it is now.
    #[must_use]
    pub fn message(&self) -> AgentStatus {
        let parts = self.parts.lock();
        AgentStatus {
            counters: parts
                .map(|parts| parts.values().flatten().cloned().collect())
                .unwrap_or_default(),
            hooks: self.hooks.clone(),
        }
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
