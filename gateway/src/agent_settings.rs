//! Settings of collectors that the gateway has for agents, by their host and labels.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;
use weir_proto::flow::v1::Settings;
use weir_runtime::config::{Section, Tree};

use crate::{
    config::Config,
    live::{Live, Notes},
};

/// The sections of an agent's configuration that can be set from here.
pub const COLLECTORS: [&str; 4] = ["netflow", "dnsflow", "httpflow", "drop"];

/// The prefix of keys that are matched with labels.
const LABEL: &str = "label.";

/// Settings for the agents that match.
#[derive(Debug, Clone)]
pub struct AgentRule {
    /// `host` or `label.<name>`, and the pattern that its value has to match.
    matches: Vec<(String, String)>,
    settings: Tree,
}

/// Read the rules of the list `agents` of `root`.
pub fn read(root: &mut Section<'_>) -> Vec<AgentRule> {
    root.items("agents", |rule| {
        let matches: Vec<(String, String)> = rule.map("match");
        for (key, _) in &matches {
            let is_label = key.strip_prefix(LABEL).is_some_and(|name| !name.is_empty());
            if key != "host" && !is_label {
                rule.mistake(
                    "match",
                    format!("`{key}` is neither `host` nor `label.<name>`"),
                );
            }
        }
        AgentRule {
            matches,
            settings: rule.tree("settings", &COLLECTORS),
        }
    })
}

/// The settings for all agents.
#[derive(Debug)]
pub struct AgentSettings {
    rules: watch::Sender<Arc<Rules>>,
}

#[derive(Debug)]
struct Rules {
    /// Grows with each change, also over restarts of the gateway: milliseconds since the Unix epoch.
    revision: u64,
    rules: Vec<AgentRule>,
}

/// The settings for one agent, as they change.
#[derive(Debug)]
pub struct Offer {
    rules: watch::Receiver<Arc<Rules>>,
    host: String,
    labels: HashMap<String, String>,
    /// What the agent was sent last.
    sent: String,
    /// Whether the agent has not been looked at yet.
    is_new: bool,
}

impl AgentSettings {
    /// By these rules.
    pub fn new(rules: Vec<AgentRule>) -> Self {
        let revision = revision(0);
        Self {
            rules: watch::Sender::new(Arc::new(Rules { revision, rules })),
        }
    }

    /// From now on by these rules.
    pub fn set(&self, rules: Vec<AgentRule>) {
        self.rules.send_modify(|now| {
            let revision = revision(now.revision);
            *now = Arc::new(Rules { revision, rules });
        });
    }

    /// Settings for the agent on `host`, which says `labels` of itself.
    pub fn offer(&self, host: &str, labels: HashMap<String, String>) -> Offer {
        Offer {
            rules: self.rules.subscribe(),
            host: host.to_owned(),
            labels,
            sent: String::new(),
            is_new: true,
        }
    }
}

/// Agents are told what is different for them.
impl Live for Arc<AgentSettings> {
    fn apply(&mut self, _before: &Config, config: &mut Config, _notes: &mut Notes) {
        self.set(config.agents.clone());
    }
}

impl Offer {
    /// What the agent is to be sent now; `None` if it has it.
    pub fn due(&mut self) -> Option<Settings> {
        if !self.is_new && !self.rules.has_changed().unwrap_or(false) {
            return None;
        }
        self.is_new = false;
        let rules = Arc::clone(&self.rules.borrow_and_update());
        let yaml = rules.of(&self.host, &self.labels);
        if yaml == self.sent {
            return None;
        }
        self.sent.clone_from(&yaml);
        Some(Settings {
            revision: rules.revision,
            yaml,
        })
    }

    /// Wait until [`Self::due`] may have something.
    pub async fn changed(&mut self) {
        // Not seen yet by this receiver, but by the copy.
        if self.rules.clone().changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Rules {
    /// As YAML; of what several rules set, the last one counts.
    fn of(&self, host: &str, labels: &HashMap<String, String>) -> String {
        let mut settings = Tree::default();
        for rule in &self.rules {
            let is_met = |(key, pattern): &(String, String)| match key.strip_prefix(LABEL) {
                Some(label) => labels.get(label).is_some_and(|value| fits(pattern, value)),
                None => fits(pattern, host),
            };
            if rule.matches.iter().all(is_met) {
                settings.overlay(&rule.settings);
            }
        }
        settings.to_string()
    }
}

fn revision(before: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    });
    now.max(before.saturating_add(1))
}

/// Whether `text` is `pattern`, where `*` in it is any text.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        // The earliest place leaves the most for what follows.
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
