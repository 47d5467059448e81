//! The configuration file of the gateway: every key and its default.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use weir_runtime::{
    config::{ByteSize, ConfigError, Document, Section},
    telemetry,
};

use weir_script::lookups::LookupSettings;

use crate::{
    agent_settings::{self, AgentRule},
    budget::{Budget, Limits},
    exporter, lookups,
    profile::{Profile, SEMCONV},
    scripts, span_metrics,
};

/// Environment variables that override a key begin with this and an underscore.
pub const ENV_PREFIX: &str = "WEIR_GATEWAY";

/// Everything that can be configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// Flow intake and subscription.
    pub flow: Flow,
    /// The Prometheus output.
    pub prometheus: Prometheus,
    /// Settings for agents.
    pub agents: Vec<AgentRule>,
    /// OTLP in, if it is on.
    pub otlp_receiver: Option<weir_otel_receiver::Config>,
    /// Where OTLP is sent to, by name.
    pub otlp_exporters: Vec<(String, exporter::Config)>,
    /// Metrics made of spans, if they are on.
    pub span_metrics: Option<span_metrics::Config>,
    /// What programs can look up.
    pub lookups: LookupSettings,
    /// Programs that edit Points.
    pub scripts: scripts::Config,
    /// The live stream.
    pub subscription: Subscription,
    /// Where what the gateway says about itself is sent, if anywhere.
    pub telemetry: Option<telemetry::Config>,
    /// How long a stop may take.
    pub stop_deadline: Duration,
}

/// Flow intake and subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Where agents and subscribers connect.
    pub listen: SocketAddr,
    /// Largest message taken from an agent, in bytes.
    pub max_message: usize,
    /// How many agent runs, and how many hosts, are remembered.
    pub agents: usize,
}

/// The Prometheus output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prometheus {
    /// Where `/metrics` is served.
    pub listen: SocketAddr,
    /// The names of flow metrics.
    pub profile: &'static Profile,
    /// Most label sets per metric, and most values per tag.
    pub budget: Budget,
    /// How long a label set lives without a Point.
    pub idle_expiry: Duration,
    /// Whether metrics that come over OTLP are shown.
    pub otlp_metrics: bool,
}

/// The live stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// How many Points may wait for one subscriber.
    pub queue: usize,
    /// Most subscribers at one time.
    pub limit: usize,
}

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
const FLOW_PORT: u16 = 4319;
const PROMETHEUS_PORT: u16 = 9464;
/// What gRPC libraries take by default.
const MAX_MESSAGE: ByteSize = ByteSize(4 * 1024 * 1024);
/// A large fleet with room for restarts; at about 200 bytes each.
const AGENTS: usize = 4096;
/// About 20 MiB of memory and 90 MiB of text when used up.
const SERIES_BUDGET: usize = 20_000;
/// What Prometheus itself takes for "gone".
const IDLE_EXPIRY: Duration = Duration::from_secs(5 * 60);
const SUBSCRIPTION_QUEUE: usize = 16_384;
const SUBSCRIPTION_LIMIT: usize = 32;
/// Below the 30 s that Kubernetes grants.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

impl Config {
    /// Read the file and the environment.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Document::load(file, ENV_PREFIX)?.read(Self::read)
    }

    /// Read every key from `root`.
    pub fn read(root: &mut Section<'_>) -> Self {
        root.gone(
            "otlp",
            "this section is gone: flows are sent by an exporter, as in \
             `otlp_exporters: {main: {endpoint: …, flows: {as: [metrics]}}}`",
        );
        Self {
            flow: Flow::read(&mut root.section("flow")),
            prometheus: Prometheus::read(&mut root.section("prometheus")),
            agents: agent_settings::read(root),
            otlp_receiver: weir_otel_receiver::Config::read(&mut root.section("otlp_receiver")),
            otlp_exporters: exporter::Config::read_all(root),
            span_metrics: span_metrics::Config::read(&mut root.section("span_metrics")),
            lookups: lookups::read(root),
            scripts: scripts::Config::read(&mut root.section("scripts")),
            subscription: Subscription::read(&mut root.section("subscription")),
            telemetry: telemetry::Config::read(&mut root.section("telemetry")),
            stop_deadline: positive(&mut root.section("stop"), "deadline", STOP_DEADLINE),
        }
    }
}

impl Flow {
    fn read(section: &mut Section<'_>) -> Self {
        let listen = section.or("listen", SocketAddr::from((LOCALHOST, FLOW_PORT)));
        let ByteSize(max_message) = section.or("max_message", MAX_MESSAGE);
        let max_message = usize::try_from(max_message).unwrap_or(usize::MAX);
        if max_message == 0 {
            section.mistake("max_message", "must be more than 0");
        }
        Self {
            listen,
            max_message,
            agents: at_least_one(section, "agents", AGENTS),
        }
    }
}

impl Prometheus {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            listen: section.or("listen", SocketAddr::from((LOCALHOST, PROMETHEUS_PORT))),
            profile: section.or("profile", &SEMCONV),
            budget: Budget {
                series: at_least_one(section, "series_budget", SERIES_BUDGET),
                values: Limits::read(section),
            },
            idle_expiry: positive(section, "idle_expiry", IDLE_EXPIRY),
            otlp_metrics: section.or("otlp_metrics", true),
        }
    }
}

impl Subscription {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            queue: at_least_one(section, "queue", SUBSCRIPTION_QUEUE),
            limit: at_least_one(section, "limit", SUBSCRIPTION_LIMIT),
        }
    }
}

fn at_least_one(section: &mut Section<'_>, key: &'static str, default: usize) -> usize {
    let number = section.or(key, default);
    if number == 0 {
        section.mistake(key, "must be at least 1");
    }
    number
}

fn positive(section: &mut Section<'_>, key: &'static str, default: Duration) -> Duration {
    let time = section.or(key, default);
    if time.is_zero() {
        section.mistake(key, "must be longer than 0s");
    }
    time
}

#[cfg(test)]
mod tests;
