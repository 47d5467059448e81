//! The agents by host: whether they are connected and what they said of themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use weir_point::Text;
use weir_proto::flow::v1::{AgentStatus, Counter, Hook};

use crate::{
    aggregate::push_label,
    page::{Head, Kind, Labels, Number, Origin, Page},
};

/// Far more than any agent has.
const MOST_COUNTERS: usize = 512;
const MOST_HOOKS: usize = 64;
const LONGEST_NAME: usize = 64;
const LONGEST_TEXT: usize = 256;

const UP: &str = "weir_agent_up";
const HOOK_INFO: &str = "weir_agent_hook_info";
/// Every metric about agents, with `<name>` for what agents choose themselves.
pub const METRICS: [&str; 3] = [UP, HOOK_INFO, "weir_agent_<name>_total"];

/// Up to `limit` hosts; to make room, the one that left longest ago is forgotten.
#[derive(Debug)]
pub struct Agents {
    limit: usize,
    hosts: Mutex<BTreeMap<Text, Host>>,
}

#[derive(Debug)]
struct Host {
    streams: usize,
    left: Instant,
    status: Option<Status>,
}

/// Sorted, each once: two equal series would make the whole scrape unreadable.
#[derive(Debug, Default)]
struct Status {
    counters: BTreeMap<(String, String), u64>,
    hooks: BTreeSet<(String, String, String)>,
}

/// Every host that is remembered is connected, and there is no room for more.
#[derive(Debug)]
pub struct NoRoom;

impl Agents {
    /// Room for `limit` hosts.
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            hosts: Mutex::default(),
        }
    }

    /// The agent on `host` opened a stream.
    ///
    /// # Errors
    /// There is no room.
    pub fn arrive(self: &Arc<Self>, host: Text) -> Result<Presence, NoRoom> {
        let mut hosts = self.lock();
        if !hosts.contains_key(&host) && hosts.len() >= self.limit {
            let oldest = hosts
                .iter()
                .filter(|(_, entry)| entry.streams == 0)
                .min_by_key(|(_, entry)| entry.left)
                .map(|(host, _)| host.clone())
                .ok_or(NoRoom)?;
            hosts.remove(&oldest);
        }
        let entry = hosts.entry(host.clone()).or_insert_with(|| Host {
            streams: 0,
            left: Instant::now(),
            status: None,
        });
        entry.streams += 1;
        Ok(Presence {
            host,
            agents: Arc::clone(self),
        })
    }

    /// Write the metrics of all agents.
    pub fn render(&self, page: &mut Page) {
        let hosts = self.lock();
        if hosts.is_empty() {
            return;
        }
        header(
            UP,
            Kind::Gauge,
            "Whether the agent has an open stream to this gateway.",
            page,
        );
        for (host, entry) in hosts.iter() {
            let up = u8::from(entry.streams > 0);
            sample(&[("host", host)], u64::from(up), page);
        }
        let statuses: Vec<(&Text, &Status)> = hosts
            .iter()
            .filter_map(|(host, entry)| Some((host, entry.status.as_ref()?)))
            .collect();
        render_counters(&statuses, page);
        render_hooks(&statuses, page);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Text, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An agent with an open stream.
#[derive(Debug)]
pub struct Presence {
    host: Text,
    agents: Arc<Agents>,
}

impl Presence {
    /// The agent said this of itself; it replaces what it said before. Returns how
    /// many entries cannot be shown and were left out.
    pub fn report(&self, status: AgentStatus) -> usize {
        let (status, refused) = Status::read(status);
        if let Some(entry) = self.agents.lock().get_mut(&self.host) {
            entry.status = Some(status);
        }
        refused
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(entry) = self.agents.lock().get_mut(&self.host) {
            entry.streams -= 1;
            if entry.streams == 0 {
                entry.left = Instant::now();
                // Old counts would look like a live agent that does nothing.
                entry.status = None;
            }
        }
    }
}

impl Status {
    fn read(message: AgentStatus) -> (Self, usize) {
        let mut status = Self::default();
        let offered = message.counters.len() + message.hooks.len();
        let mut taken = 0;
        for Counter { name, cause, value } in message.counters {
            if status.counters.len() < MOST_COUNTERS && is_name(&name) && is_text(&cause) {
                status.counters.insert((name, cause), value);
                taken += 1;
            }
        }
        for Hook {
            event,
            hook,
            reason,
        } in message.hooks
        {
            let fits = [&event, &hook, &reason]
                .into_iter()
                .all(|text| is_text(text));
            if status.hooks.len() < MOST_HOOKS && fits {
                status.hooks.insert((event, hook, reason));
                taken += 1;
            }
        }
        (status, offered - taken)
    }
}

/// A counter `up` or `hook` would be of one name with another metric in OpenMetrics.
fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && !["up", "hook", "hook_info"].contains(&name)
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn is_text(text: &str) -> bool {
    text.len() <= LONGEST_TEXT
}

fn render_counters(statuses: &[(&Text, &Status)], page: &mut Page) {
    let names: BTreeSet<&str> = statuses
        .iter()
        .flat_map(|(_, status)| status.counters.keys())
        .map(|(name, _)| name.as_str())
        .collect();
    for name in names {
        let family = format!("weir_agent_{name}_total");
        let help = "Counted by the agent since it started.";
        header(&family, Kind::Counter, help, page);
        for (host, status) in statuses {
            let first = (name.to_owned(), String::new());
            let own = status.counters.range(first..);
            for ((_, cause), value) in own.take_while(|((own, _), _)| own == name) {
                let labels = [("host", host.as_str()), ("cause", cause)];
                let used = if cause.is_empty() { 1 } else { 2 };
                sample(&labels[..used], *value, page);
            }
        }
    }
}

fn render_hooks(statuses: &[(&Text, &Status)], page: &mut Page) {
    if statuses.iter().all(|(_, status)| status.hooks.is_empty()) {
        return;
    }
    let help = "How the agent observes an event on its kernel.";
    header(HOOK_INFO, Kind::Info, help, page);
    for (host, status) in statuses {
        for (event, hook, reason) in &status.hooks {
            let labels = [
                ("host", host.as_str()),
                ("event", event),
                ("hook", hook),
                ("reason", reason),
            ];
            sample(&labels, 1, page);
        }
    }
}

fn header(name: &str, kind: Kind, help: &str, page: &mut Page) {
    page.family(&Head {
        name,
        kind,
        help,
        unit: "",
        crowded: false,
    });
}

fn sample(labels: &[(&str, &str)], value: u64, page: &mut Page) {
    let mut text = String::new();
    for (label, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        push_label(label, value, &mut text);
    }
    page.number(Labels(&text, ""), Number::Count(value), Origin::default());
}
