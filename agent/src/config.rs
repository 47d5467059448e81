//! Configuration of the agent.

use std::time::Duration;

use weir_runtime::{
    config::{ByteSize, Scalar, Section},
    telemetry,
};

/// Prefix of the environment variables that override keys.
pub const ENV_PREFIX: &str = "WEIR_AGENT";

/// Everything that `--config` may set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Node name, the `host` tag; default: the machine's host name.
    pub host: Option<String>,
    /// Where the gateway takes flows, `HOST:PORT`.
    pub gateway: String,
    /// The netflow collector.
    pub netflow: Netflow,
    /// Batches that wait for the gateway.
    pub uplink: Uplink,
    /// Where what the agent says about itself is sent, if anywhere.
    pub telemetry: Option<telemetry::Config>,
    /// Time for everything that is left when the agent is told to stop.
    pub stop_deadline: Duration,
}

/// Settings of the netflow collector.
#[derive(Clone, Debug)]
pub struct Netflow {
    /// Length of a period: how often rows are sent.
    pub period: Duration,
    /// How to observe TCP state changes.
    pub hook: Hook,
    /// Connections that may be followed over the end of a period.
    pub max_connections: usize,
    /// Size of the kernel's ring buffer; a power of two.
    pub ring: ByteSize,
}

/// Settings of the uplink.
#[derive(Clone, Debug)]
pub struct Uplink {
    /// Size of the batches that are kept until the gateway has acknowledged them; the oldest goes first.
    pub buffer: ByteSize,
}

/// A way to observe TCP state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// The best that the kernel takes.
    Auto,
    /// A BTF tracepoint: direct loads, facts kept in the sockets (Linux 5.11).
    BtfTracepoint,
    /// A raw tracepoint: checked reads, facts kept in a map.
    RawTracepoint,
}

impl Hook {
    /// Name in the configuration, the log and the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::BtfTracepoint => "btf_tracepoint",
            Self::RawTracepoint => "raw_tracepoint",
        }
    }

    /// What to try, in order.
    #[must_use]
    pub const fn ways(self) -> &'static [Self] {
        match self {
            Self::Auto => &[Self::BtfTracepoint, Self::RawTracepoint],
            Self::BtfTracepoint => &[Self::BtfTracepoint],
            Self::RawTracepoint => &[Self::RawTracepoint],
        }
    }
}

impl Scalar for Hook {
    const WHAT: &'static str = "auto, btf_tracepoint or raw_tracepoint";

    fn parse(text: &str) -> Result<Self, String> {
        [Self::Auto, Self::BtfTracepoint, Self::RawTracepoint]
            .into_iter()
            .find(|hook| hook.name() == text)
            .ok_or_else(|| format!("`{text}` is none of them"))
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}

impl Config {
    /// Reads every key. Mistakes are noted in the section, with the position of their key.
    pub fn read(root: &mut Section<'_>) -> Self {
        Self {
            host: root.optional("host"),
            gateway: gateway(root),
            netflow: Netflow::read(&mut root.section("netflow")),
            uplink: Uplink {
                buffer: root.section("uplink").or("buffer", ByteSize(16 << 20)),
            },
            telemetry: telemetry::Config::read(&mut root.section("telemetry")),
            stop_deadline: root.section("stop").or("deadline", Duration::from_secs(5)),
        }
    }
}

fn gateway(root: &mut Section<'_>) -> String {
    let address: String = root.or("gateway", "127.0.0.1:4319".to_owned());
    if format!("http://{address}")
        .parse::<tonic::transport::Uri>()
        .is_err()
        || !address.contains(':')
    {
        root.mistake("gateway", format!("`{address}` is not HOST:PORT"));
    }
    address
}

impl Netflow {
    fn read(section: &mut Section<'_>) -> Self {
        let netflow = Self {
            period: section.or("period", Duration::from_secs(10)),
            hook: section.or("hook", Hook::Auto),
            max_connections: section.or("max_connections", 262_144),
            ring: section.or("ring", ByteSize(4 << 20)),
        };
        if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&netflow.period) {
            section.mistake("period", "must be between 100ms and 1h");
        }
        let ring = netflow.ring.0;
        if !ring.is_power_of_two() || !(64 << 10..=1 << 30).contains(&ring) {
            section.mistake("ring", "must be a power of two between 64KiB and 1GiB");
        }
        netflow
    }
}
