//! The running agent: collectors, uplink and telemetry, and how they go over to another configuration.

mod collectors;
mod reloads;
mod source;

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
};
use weir_runtime::{
    config::ConfigError,
    reload::{Outcome, Trigger},
    stop::Deadline,
    telemetry::{self, Telemetry},
};

pub use self::collectors::CollectorError;
use self::{
    collectors::{Collectors, Shared},
    reloads::Reloads,
    source::Source,
};
use crate::{
    config::Config,
    drop::DropRules,
    error_chain,
    host::Identity,
    names::Names,
    self_telemetry,
    status::Status,
    uplink::{self, AddressError, Gateway, Queue, Settings, Told, Uplink},
};

/// How long telemetry may take to send its last numbers before it starts anew.
const TELEMETRY_ENDS_WITHIN: Duration = Duration::from_secs(3);

/// The agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its configuration has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A collector cannot run.
    #[error(transparent)]
    Collector(#[from] CollectorError),
    /// There is no way to send what the agent says about itself.
    #[error(transparent)]
    Telemetry(#[from] telemetry::StartError),
    /// The gateway cannot be one.
    #[error(transparent)]
    Gateway(#[from] AddressError),
}

/// An agent that runs.
pub struct Agent {
    source: Source,
    /// What is in force.
    config: Config,
    identity: Identity,
    collectors: Option<Collectors>,
    queue: Arc<Queue>,
    status: Arc<Status>,
    telemetry: Option<Telemetry>,
    gateway: watch::Sender<Gateway>,
    told: Told,
    sending: JoinHandle<()>,
    reloads: Reloads,
}

/// What became of a configuration, and why, line by line.
struct Applied {
    outcome: Outcome,
    mistakes: Vec<String>,
}

impl Agent {
    /// Reads `file` and starts everything that it asks for. Blocks for as long as programs take to load.
    ///
    /// # Errors
    /// The file has mistakes, or something that it asks for does not work here.
    pub fn start(file: &Path) -> Result<Self, StartError> {
        let mut source = Source::new(file);
        let config = source.read_file()?;
        let identity = Identity::now(config.host.clone());
        tracing::info!(host = identity.host, "agent starts");
        let status = Arc::new(Status::default());
        let queue = Arc::new(Queue::new(config.uplink.buffer.0 as usize));
        let mut collectors = Collectors::new(Shared {
            queue: Arc::clone(&queue),
            status: Arc::clone(&status),
            owners: Arc::default(),
            names: Arc::new(Names::new(&config.dnsflow.names)),
            drops: DropRules::default(),
            http: Arc::default(),
        });
        let (gateway, gateways) = watch::channel(Gateway::new(&config.gateway, &config.labels)?);
        collectors.start(&config)?;
        let telemetry = self_telemetry::start(config.telemetry.as_ref(), &identity.host, &status)?;
        let (asked, told) = uplink::settings();
        let uplink = Uplink::new(
            gateways,
            identity.clone(),
            Arc::clone(&queue),
            Arc::clone(&status),
            asked,
        );
        Ok(Self {
            source,
            config,
            identity,
            collectors: Some(collectors),
            queue,
            telemetry,
            gateway,
            told,
            sending: tokio::spawn(uplink.run()),
            reloads: Reloads::new(Arc::clone(&status)),
            status,
        })
    }

    /// Waits for settings that the gateway has for this agent. May be dropped and called again.
    pub async fn settings(&mut self) -> Settings {
        self.told.next().await
    }

    /// Reads the configuration file again and goes over to it. What is wrong with it is logged; the one before then
    /// stays in force.
    pub async fn reload(&mut self, trigger: Trigger) {
        let trigger = trigger.name();
        match self.source.read_file() {
            Ok(config) => {
                let applied = self.apply(config).await;
                let outcome = applied.outcome;
                tracing::info!(
                    trigger,
                    outcome = outcome.name(),
                    "configuration read again"
                );
                self.reloads.count(outcome);
            }
            Err(error) => {
                let error = error_chain(&error);
                tracing::error!(trigger, "configuration stays as it was: {error}");
                self.reloads.count(Outcome::Invalid);
            }
        }
    }

    /// Goes over to settings of the gateway, which lie over the file, and says what became of them.
    pub async fn take(&mut self, settings: Settings) {
        let Settings { revision, yaml } = settings;
        if self.source.has_settings(&yaml) {
            return self.told.answer(revision, Vec::new());
        }
        let before = self.config.clone();
        let applied = match self.source.read_settings(&yaml) {
            Ok(config) => self.apply(config).await,
            Err(mistakes) => Applied {
                outcome: Outcome::Invalid,
                mistakes,
            },
        };
        let outcome = applied.outcome;
        if applied.mistakes.is_empty() {
            tracing::info!(
                revision,
                outcome = outcome.name(),
                "settings of the gateway"
            );
            self.source.set_settings(yaml);
        } else {
            let mistakes = applied.mistakes.join("\n  ");
            tracing::error!(
                revision,
                "settings of the gateway are not taken:\n  {mistakes}"
            );
            if outcome == Outcome::Failed {
                // All or nothing: what did start goes back, too.
                self.apply(before).await;
            }
        }
        self.reloads.count(outcome);
        self.told.answer(revision, applied.mistakes);
    }

    async fn apply(&mut self, mut config: Config) -> Applied {
        let mut outcome = Outcome::Applied;
        if config.host != self.config.host {
            tracing::warn!(
                key = "host",
                "cannot change while the agent runs; stays as it was"
            );
            config.host.clone_from(&self.config.host);
            outcome = Outcome::Partly;
        }
        let mut mistakes = Vec::new();
        if let Err(error) = self.apply_gateway(&config) {
            mistakes.push(error_chain(&error));
        }
        self.queue.limit(config.uplink.buffer.0 as usize);
        if let Err(error) = self.apply_telemetry(&config).await {
            mistakes.push(error_chain(&error));
            config.telemetry = None;
        }
        let (config, failures) = self.apply_collectors(config).await;
        mistakes.extend(failures.iter().map(|failure| error_chain(failure)));
        for mistake in &mistakes {
            tracing::error!("a part of the configuration is not in force: {mistake}");
        }
        if !mistakes.is_empty() {
            outcome = Outcome::Failed;
        }
        self.config = config;
        Applied { outcome, mistakes }
    }

    fn apply_gateway(&self, config: &Config) -> Result<(), AddressError> {
        if config.gateway != self.config.gateway || config.labels != self.config.labels {
            let gateway = Gateway::new(&config.gateway, &config.labels)?;
            self.gateway.send_replace(gateway);
        }
        Ok(())
    }

    async fn apply_telemetry(&mut self, config: &Config) -> Result<(), telemetry::StartError> {
        if config.telemetry == self.config.telemetry {
            return Ok(());
        }
        if let Some(telemetry) = self.telemetry.take() {
            let deadline = Deadline::after(TELEMETRY_ENDS_WITHIN);
            telemetry.stop(&deadline).await;
        }
        let config = config.telemetry.as_ref();
        self.telemetry = self_telemetry::start(config, &self.identity.host, &self.status)?;
        Ok(())
    }

    async fn apply_collectors(&mut self, config: Config) -> (Config, Vec<CollectorError>) {
        let Some(mut collectors) = self.collectors.take() else {
            return (config, Vec::new());
        };
        let (before, mut after) = (self.config.clone(), config.clone());
        let changed = spawn_blocking(move || {
            let failures = collectors.apply(&before, &mut after);
            (collectors, after, failures)
        });
        match changed.await {
            Ok((collectors, after, failures)) => {
                self.collectors = Some(collectors);
                (after, failures)
            }
            Err(error) => {
                let error = error_chain(&error);
                tracing::error!("collectors panicked while they changed: {error}");
                (config, Vec::new())
            }
        }
    }

    /// Collectors end first, so that what they still report goes out; then the uplink, once everything is acknowledged, and
    /// telemetry. What is left after the deadline is cut off.
    pub async fn stop(mut self) {
        let deadline = Deadline::after(self.config.stop_deadline);
        if let Some(mut collectors) = self.collectors.take() {
            let stopped = spawn_blocking(move || collectors.stop()).await;
            if let Err(error) = stopped {
                tracing::error!(error = error_chain(&error), "collectors did not end");
            }
        }
        self.queue.close();
        deadline.finish("uplink", self.sending).await;
        if let Some(telemetry) = self.telemetry {
            telemetry.stop(&deadline).await;
        }
        let tally = self.queue.tally();
        tracing::info!(
            rows = tally.rows,
            acked = tally.acked_rows,
            dropped = tally.dropped_rows,
            unsent = tally.queued_rows,
            "stopped"
        );
    }
}
