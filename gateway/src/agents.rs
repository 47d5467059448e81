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
const SETTINGS_REVISION: &str = "weir_agent_settings_revision";
const SETTINGS_MISTAKES: &str = "weir_agent_settings_mistakes";
/// The end of the names of counters that are points in time: shown as gauges.
const TIME: &str = "_timestamp_seconds";
/// Every metric about agents, with `<name>` for what agents choose themselves.
pub const METRICS: [&str; 6] = [
    UP,
    HOOK_INFO,
    SETTINGS_REVISION,
    SETTINGS_MISTAKES,
    "weir_agent_<name>_total",
    "weir_agent_<name>_timestamp_seconds",
];

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
    settings: Option<Settings>,
}

/// What the agent was sent, and what it said to that.
#[derive(Debug, Clone, Copy)]
struct Settings {
    sent: u64,
    confirmed: u64,
    mistakes: usize,
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

    /// How many hosts there is room for.
    pub fn limit(&self) -> usize {
        self.limit
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
            settings: None,
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
        let settings: Vec<(&Text, Settings)> = hosts
            .iter()
            .filter_map(|(host, entry)| Some((host, entry.settings?)))
            .collect();
        render_settings(&settings, page);
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

impl Presence {
    /// The agent was sent settings.
    pub fn settings_sent(&self, revision: u64) {
        if let Some(entry) = self.agents.lock().get_mut(&self.host) {
            let before = entry.settings;
            entry.settings = Some(Settings {
                sent: revision,
                confirmed: before.map_or(0, |before| before.confirmed),
                mistakes: 0,
            });
        }
    }

    /// The agent found so many mistakes in the settings of `revision`.
    pub fn settings_answered(&self, revision: u64, mistakes: usize) {
        if let Some(entry) = self.agents.lock().get_mut(&self.host)
            && let Some(settings) = &mut entry.settings
            && settings.sent == revision
        {
            settings.mistakes = mistakes;
            if mistakes == 0 {
                settings.confirmed = revision;
            }
        }
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
                entry.settings = None;
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
        if name.ends_with(TIME) {
            let help = "When that was, in seconds since the Unix epoch.";
            header(&format!("weir_agent_{name}"), Kind::Gauge, help, page);
        } else {
            let help = "Counted by the agent since it started.";
            header(
                &format!("weir_agent_{name}_total"),
                Kind::Counter,
                help,
                page,
            );
        }
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

fn render_settings(settings: &[(&Text, Settings)], page: &mut Page) {
    if settings.is_empty() {
        return;
    }
    let help = "Settings that the gateway has for the agent; those sent are confirmed once they are in force.";
    header(SETTINGS_REVISION, Kind::Gauge, help, page);
    for (host, settings) in settings {
        for (state, revision) in [("sent", settings.sent), ("confirmed", settings.confirmed)] {
            let labels = [("host", host.as_str()), ("state", state)];
            sample(&labels, revision, page);
        }
    }
    let help = "What the agent found wrong with the settings that it was sent.";
    header(SETTINGS_MISTAKES, Kind::Gauge, help, page);
    for (host, settings) in settings {
        sample(&[("host", host)], settings.mistakes as u64, page);
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
