//! The collectors that run, by what the configuration wants.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    config::Config,
    dnsflow,
    drop::{DropRules, Rules},
    httpflow,
    names::Names,
    netflow::{
        self, Handover,
        kernel::{Chosen, Http, HttpSettings},
    },
    owners::Owners,
    privilege,
    status::Status,
    uplink::Queue,
};

/// Every collector, in the order of their start; one may need what those before it made.
const KINDS: [Kind; 3] = [
    Kind {
        name: "netflow",
        is_vital: true,
        is_wanted: |config| config.netflow.enabled,
        needs_restart: netflow_needs_restart,
        keep: |config, before| config.netflow = before.netflow.clone(),
        start: start_netflow,
    },
    Kind {
        name: "dnsflow",
        is_vital: false,
        is_wanted: |config| config.dnsflow.enabled,
        needs_restart: |before, after| !before.dnsflow.differs_in_names_only(&after.dnsflow),
        keep: |config, before| config.dnsflow = before.dnsflow.clone(),
        start: start_dnsflow,
    },
    Kind {
        name: "httpflow",
        is_vital: false,
        is_wanted: wants_http,
        // It reads what netflow's programs show.
        needs_restart: |before, after| {
            netflow_needs_restart(before, after) || before.httpflow != after.httpflow
        },
        keep: |config, before| config.httpflow = before.httpflow.clone(),
        start: start_httpflow,
    },
];

/// The programs that show HTTP are netflow's.
fn wants_http(config: &Config) -> bool {
    config.httpflow.enabled && config.netflow.enabled
}

/// What the programs show is handed over once, so that another reader needs them anew.
fn netflow_needs_restart(before: &Config, after: &Config) -> bool {
    netflow::needs_restart(&before.netflow, &after.netflow)
        || wants_http(before) != wants_http(after)
        || wants_http(after) && before.httpflow != after.httpflow
}

fn http_settings(config: &Config) -> HttpSettings {
    httpflow::kernel_settings(&config.httpflow)
}

/// One kind of collector.
struct Kind {
    /// Its section of the configuration.
    name: &'static str,
    /// Whether the agent does not start without it.
    is_vital: bool,
    is_wanted: fn(&Config) -> bool,
    /// Whether one that runs cannot change from the one configuration to the other.
    needs_restart: fn(&Config, &Config) -> bool,
    /// Puts the section of the second configuration in the first.
    keep: fn(&mut Config, &Config),
    start: fn(&Config, &Shared, &mut Option<Handover>) -> Started,
}

type Cause = Box<dyn Error + Send + Sync>;
type Started = Result<Box<dyn Running>, Cause>;

/// A collector that runs.
trait Running: Send {
    /// How each event is observed.
    fn hooks(&self) -> Vec<Chosen>;

    /// Runs by another configuration, which does not need a restart.
    fn change(&mut self, config: &Config, shared: &Shared);

    /// Reports what is left and ends; what it leaves to the next of its kind. Blocks.
    fn stop(self: Box<Self>) -> Option<Handover>;
}

/// A collector cannot run.
#[derive(Debug, thiserror::Error)]
#[error("the {collector} collector cannot run")]
pub struct CollectorError {
    /// Its section of the configuration.
    collector: &'static str,
    /// Why not.
    source: Cause,
}

/// What collectors have in common.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) queue: Arc<Queue>,
    pub(super) status: Arc<Status>,
    pub(super) owners: Arc<Owners>,
    pub(super) names: Arc<Names>,
    pub(super) drops: DropRules,
    /// What netflow's programs show of HTTP, until somebody reads it.
    pub(super) http: Arc<Mutex<Option<Http>>>,
}

impl Shared {
    /// The names of peers, if somebody learns them.
    fn learned(&self, config: &Config) -> Option<Arc<Names>> {
        (config.dnsflow.enabled || wants_http(config)).then(|| Arc::clone(&self.names))
    }
}

/// The collectors that run.
pub(super) struct Collectors {
    /// By [`KINDS`].
    running: [Option<Box<dyn Running>>; KINDS.len()],
    shared: Shared,
}

impl Collectors {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            running: [const { None }; KINDS.len()],
            shared,
        }
    }

    /// Starts those that `config` wants. Blocks.
    pub(super) fn start(&mut self, config: &Config) -> Result<(), CollectorError> {
        self.shared.names.limit(&config.dnsflow.names);
        self.shared.drops.replace(Rules::new(config.drop.clone()));
        for (kind, running) in KINDS.iter().zip(&mut self.running) {
            if !(kind.is_wanted)(config) {
                continue;
            }
            match kind.start(config, &self.shared, &mut None) {
                Ok(started) => *running = Some(started),
                Err(error) if kind.is_vital => return Err(error),
                // Without the right to capture packets, say, the rest is still worth running.
                Err(error) => kind.does_not_run(&error, &self.shared),
            }
        }
        Ok(())
    }

    /// Goes over from `before`, by which those that run do, to `config`. One that does not start goes on by what it had;
    /// that section of `config` is then as it was. Blocks. Why each failed that did.
    pub(super) fn apply(&mut self, before: &Config, config: &mut Config) -> Vec<CollectorError> {
        self.shared.names.limit(&config.dnsflow.names);
        self.shared.drops.replace(Rules::new(config.drop.clone()));
        let ran = self.running.each_ref().map(Option::is_some);
        let mut left: [Option<Handover>; KINDS.len()] = [const { None }; KINDS.len()];
        // Those that others need end last.
        for (index, kind) in KINDS.iter().enumerate().rev() {
            let is_wanted = (kind.is_wanted)(config);
            if is_wanted && !(kind.needs_restart)(before, config) {
                continue;
            }
            if let Some(running) = self.running[index].take() {
                left[index] = kind.stop(running, &self.shared);
            }
        }
        let mut failures = Vec::new();
        for (index, kind) in KINDS.iter().enumerate() {
            if !(kind.is_wanted)(config) {
                continue;
            }
            if let Some(running) = &mut self.running[index] {
                running.change(config, &self.shared);
                continue;
            }
            let could_not_before = !ran[index] && (kind.is_wanted)(before);
            if could_not_before && !(kind.needs_restart)(before, config) {
                continue;
            }
            let left = &mut left[index];
            self.running[index] = match kind.start(config, &self.shared, left) {
                Ok(started) => Some(started),
                Err(error) if could_not_before && !kind.is_vital => {
                    kind.does_not_run(&error, &self.shared);
                    None
                }
                Err(error) => {
                    failures.push(error);
                    (kind.keep)(config, before);
                    kind.start_again(config, &self.shared, left)
                }
            };
        }
        failures
    }

    /// Reports what is left and ends all of them. Blocks.
    pub(super) fn stop(&mut self) {
        for running in self.running.iter_mut().rev() {
            if let Some(running) = running.take() {
                running.stop();
            }
        }
    }
}

impl Kind {
    fn start(
        &self,
        config: &Config,
        shared: &Shared,
        before: &mut Option<Handover>,
    ) -> Result<Box<dyn Running>, CollectorError> {
        let failed = |source| CollectorError {
            collector: self.name,
            source,
        };
        let running = (self.start)(config, shared, before).map_err(failed)?;
        let hooks = running.hooks();
        for chosen in &hooks {
            tracing::info!(
                event = chosen.event,
                hook = chosen.hook,
                reason = chosen.reason,
                "observes"
            );
        }
        shared.status.set_hooks(self.name, &hooks);
        tracing::info!(collector = self.name, "collector runs");
        Ok(running)
    }

    /// By what it had before, if it was wanted then.
    fn start_again(
        &self,
        config: &Config,
        shared: &Shared,
        before: &mut Option<Handover>,
    ) -> Option<Box<dyn Running>> {
        if !(self.is_wanted)(config) {
            return None;
        }
        let started = self.start(config, shared, before);
        started
            .map_err(|error| self.does_not_run(&error, shared))
            .ok()
    }

    fn does_not_run(&self, error: &CollectorError, shared: &Shared) {
        let why = crate::error_chain(error);
        tracing::error!("{why}");
        let hooks = [Chosen::none(self.name, why)];
        shared.status.set_hooks(self.name, &hooks);
    }

    fn stop(&self, running: Box<dyn Running>, shared: &Shared) -> Option<Handover> {
        let left = running.stop();
        shared.status.ended(self.name);
        tracing::info!(collector = self.name, "collector ended");
        left
    }
}

fn start_netflow(config: &Config, shared: &Shared, before: &mut Option<Handover>) -> Started {
    privilege::check(config.netflow.hook)?;
    let http = wants_http(config).then(|| http_settings(config));
    let mut collector =
        netflow::Collector::attach(&config.netflow, http, before)?.dropping(&shared.drops);
    let shown = collector.take_http();
    *shared.http.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    if let Some(names) = shared.learned(config) {
        collector = collector.with_names(names);
    }
    tracing::info!(adopted = collector.adopted(), "netflow watches");
    let outputs = netflow::Outputs {
        queue: Arc::clone(&shared.queue),
        status: Arc::clone(&shared.status),
        owners: Some(Arc::clone(&shared.owners)),
    };
    Ok(Box::new(collector.spawn(outputs)?))
}

impl Running for netflow::Running {
    fn hooks(&self) -> Vec<Chosen> {
        self.hooks().to_vec()
    }

    fn change(&mut self, config: &Config, shared: &Shared) {
        Self::change(self, &config.netflow, shared.learned(config));
    }

    fn stop(self: Box<Self>) -> Option<Handover> {
        Self::stop(*self)
    }
}

fn start_httpflow(config: &Config, shared: &Shared, _before: &mut Option<Handover>) -> Started {
    let http = shared
        .http
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let shared = httpflow::Shared {
        queue: Arc::clone(&shared.queue),
        status: Arc::clone(&shared.status),
        drops: shared.drops.clone(),
        names: Arc::clone(&shared.names),
    };
    let running = httpflow::Running::start(&config.httpflow, http, shared)?;
    Ok(Box::new(running))
}

impl Running for httpflow::Running {
    fn hooks(&self) -> Vec<Chosen> {
        Self::hooks(self)
    }

    /// Nothing that it goes by has changed.
    fn change(&mut self, _config: &Config, _shared: &Shared) {}

    fn stop(self: Box<Self>) -> Option<Handover> {
        Self::stop(*self);
        None
    }
}

fn start_dnsflow(config: &Config, shared: &Shared, _before: &mut Option<Handover>) -> Started {
    let shared = dnsflow::Shared {
        queue: Arc::clone(&shared.queue),
        status: Arc::clone(&shared.status),
        drops: shared.drops.clone(),
        owners: Arc::clone(&shared.owners),
        names: Arc::clone(&shared.names),
    };
    let running = dnsflow::Collector::start(&config.dnsflow, shared)?;
    Ok(Box::new(running))
}

impl Running for dnsflow::Running {
    fn hooks(&self) -> Vec<Chosen> {
        Self::hooks(self)
    }

    /// Only the names differ, and those are shared.
    fn change(&mut self, _config: &Config, _shared: &Shared) {}

    fn stop(self: Box<Self>) -> Option<Handover> {
        Self::stop(*self);
        None
    }
}
