//! The collectors that run, by what the configuration wants.

use std::{error::Error, sync::Arc};

use crate::{
    config::Config,
    dnsflow,
    names::Names,
    netflow::{self, Handover, kernel::Chosen},
    owners::Owners,
    privilege,
    status::Status,
    uplink::Queue,
};

/// Every collector, in the order of their start; one may need what those before it made.
const KINDS: [Kind; 2] = [
    Kind {
        name: "netflow",
        is_wanted: |config| config.netflow.enabled,
        needs_restart: |before, after| netflow::needs_restart(&before.netflow, &after.netflow),
        keep: |config, before| config.netflow = before.netflow.clone(),
        start: start_netflow,
    },
    Kind {
        name: "dnsflow",
        is_wanted: |config| config.dnsflow.enabled,
        needs_restart: |before, after| !before.dnsflow.differs_in_names_only(&after.dnsflow),
        keep: |config, before| config.dnsflow = before.dnsflow.clone(),
        start: start_dnsflow,
    },
];

/// One kind of collector.
struct Kind {
    /// Its section of the configuration.
    name: &'static str,
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
}

impl Shared {
    /// The names of peers, if somebody learns them.
    fn learned(&self, config: &Config) -> Option<Arc<Names>> {
        config.dnsflow.enabled.then(|| Arc::clone(&self.names))
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
        for (kind, running) in KINDS.iter().zip(&mut self.running) {
            if (kind.is_wanted)(config) {
                *running = Some(kind.start(config, &self.shared, &mut None)?);
            }
        }
        Ok(())
    }

    /// Goes over from `before`, by which those that run do, to `config`. One that does not start goes on by what it had;
    /// that section of `config` is then as it was. Blocks. Why each failed that did.
    pub(super) fn apply(&mut self, before: &Config, config: &mut Config) -> Vec<CollectorError> {
        self.shared.names.limit(&config.dnsflow.names);
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
            let started = kind.start(config, &self.shared, &mut left[index]);
            self.running[index] = started.map_or_else(
                |failure| {
                    failures.push(failure);
                    (kind.keep)(config, before);
                    kind.start_again(config, &self.shared, &mut left[index], &mut failures)
                },
                Some,
            );
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
        failures: &mut Vec<CollectorError>,
    ) -> Option<Box<dyn Running>> {
        if !(self.is_wanted)(config) {
            return None;
        }
        let started = self.start(config, shared, before);
        started.map_err(|failure| failures.push(failure)).ok()
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
    let mut collector = netflow::Collector::attach(&config.netflow, None, before)?;
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

fn start_dnsflow(config: &Config, shared: &Shared, _before: &mut Option<Handover>) -> Started {
    let shared = dnsflow::Shared {
        queue: Arc::clone(&shared.queue),
        status: Arc::clone(&shared.status),
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
