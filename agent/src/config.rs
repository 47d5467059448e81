//! Configuration of the agent.

mod dnsflow;
mod httpflow;
mod tls;

use std::time::Duration;

use weir_runtime::{
    config::{ByteSize, Scalar, Section},
    telemetry,
};

pub use self::{
    dnsflow::{Dnsflow, Names},
    httpflow::{Httpflow, Spans},
    tls::{Scope, Tls},
};
use crate::drop;

/// Prefix of the environment variables that override keys.
pub const ENV_PREFIX: &str = "WEIR_AGENT";

/// The sections that a gateway may set.
pub const COLLECTORS: [&str; 4] = ["netflow", "dnsflow", "httpflow", "drop"];

/// Everything that `--config` may set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Node name, the `host` tag; default: the machine's host name.
    pub host: Option<String>,
    /// What the operator says of this host, for a gateway to choose settings by.
    pub labels: Vec<(String, String)>,
    /// Where the gateway takes flows, `HOST:PORT`.
    pub gateway: String,
    /// The netflow collector.
    pub netflow: Netflow,
    /// The dnsflow collector.
    pub dnsflow: Dnsflow,
    /// The httpflow collector.
    pub httpflow: Httpflow,
    /// What is left out, by name of the rule.
    pub drop: Vec<(String, drop::Rule)>,
    /// Batches that wait for the gateway.
    pub uplink: Uplink,
    /// Where what the agent says about itself is sent, if anywhere.
    pub telemetry: Option<telemetry::Config>,
    /// Time for everything that is left when the agent is told to stop.
    pub stop_deadline: Duration,
}

/// Settings of the netflow collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netflow {
    /// Whether it runs.
    pub enabled: bool,
    /// Length of a period: how often rows are sent.
    pub period: Duration,
    /// How to observe TCP state changes.
    pub hook: Hook,
    /// Whether every connection has rows of its own, with the client's port.
    pub per_connection: bool,
    /// Connections that may be followed over the end of a period.
    pub max_connections: usize,
    /// Sockets whose facts the kernel keeps, where it keeps them in a map; the oldest goes first.
    pub map_sockets: u32,
    /// UDP.
    pub udp: Udp,
    /// Translated addresses.
    pub nat: Nat,
    /// Size of the kernel's ring buffer; a power of two.
    pub ring: ByteSize,
}

/// Settings of the netflow collector for translated addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat {
    /// Whether the kernel's connection tracking is followed.
    pub enabled: bool,
    /// Translated ends of connections that are remembered.
    pub max_entries: usize,
}

/// Settings of the netflow collector for UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// How to observe datagrams.
    pub hook: UdpHook,
    /// Flows that the kernel keeps between two looks.
    pub max_flows: u32,
}

/// Settings of the uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// No eBPF at all: sock_diag dumps and messages.
    SockDiag,
}

impl Hook {
    /// Name in the configuration, the log and the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::BtfTracepoint => "btf_tracepoint",
            Self::RawTracepoint => "raw_tracepoint",
            Self::SockDiag => "sock_diag",
        }
    }

    /// What of eBPF to try, in order.
    #[must_use]
    pub const fn ways(self) -> &'static [Self] {
        match self {
            Self::SockDiag => &[],
            Self::Auto => &[Self::BtfTracepoint, Self::RawTracepoint],
            Self::BtfTracepoint => &[Self::BtfTracepoint],
            Self::RawTracepoint => &[Self::RawTracepoint],
        }
    }
}

impl Scalar for Hook {
    const WHAT: &'static str = "auto, btf_tracepoint, raw_tracepoint or sock_diag";

    fn parse(text: &str) -> Result<Self, String> {
        let all = [
            Self::Auto,
            Self::BtfTracepoint,
            Self::RawTracepoint,
            Self::SockDiag,
        ];
        all.into_iter()
            .find(|hook| hook.name() == text)
            .ok_or_else(|| format!("`{text}` is none of them"))
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}

/// A way to observe UDP datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpHook {
    /// The best that the kernel takes.
    Auto,
    /// Packets at the control group of their socket.
    CgroupSkb,
    /// Tracepoints at the end of calls, which tell no peer of unconnected sockets (Linux 6.3).
    LengthTracepoint,
    /// Exits of the kernel's send and receive functions.
    Fexit,
    /// Not at all.
    Off,
}

impl UdpHook {
    const ALL: [Self; 5] = [
        Self::Auto,
        Self::CgroupSkb,
        Self::LengthTracepoint,
        Self::Fexit,
        Self::Off,
    ];

    /// What to try, in order.
    #[must_use]
    pub const fn ways(self) -> &'static [Self] {
        match self {
            Self::Auto => &[Self::CgroupSkb, Self::Fexit, Self::LengthTracepoint],
            Self::CgroupSkb => &[Self::CgroupSkb],
            Self::LengthTracepoint => &[Self::LengthTracepoint],
            Self::Fexit => &[Self::Fexit],
            Self::Off => &[],
        }
    }

    /// Name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::CgroupSkb => "cgroup_skb",
            Self::LengthTracepoint => "length_tracepoint",
            Self::Fexit => "fexit",
            Self::Off => "off",
        }
    }
}

impl Scalar for UdpHook {
    const WHAT: &'static str = "auto, cgroup_skb, fexit, length_tracepoint or off";

    fn parse(text: &str) -> Result<Self, String> {
        Self::ALL
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
            labels: labels(root),
            gateway: gateway(root),
            netflow: Netflow::read(&mut root.section("netflow")),
            dnsflow: Dnsflow::read(&mut root.section("dnsflow")),
            httpflow: Httpflow::read(&mut root.section("httpflow")),
            drop: drop::read(root),
            uplink: Uplink {
                buffer: root.section("uplink").or("buffer", ByteSize(16 << 20)),
            },
            telemetry: telemetry::Config::read(&mut root.section("telemetry")),
            stop_deadline: root.section("stop").or("deadline", Duration::from_secs(5)),
        }
    }
}

/// As many as a gateway takes.
const MOST_LABELS: usize = 64;
/// In bytes; of names, too.
const LONGEST_LABEL: usize = 256;

fn labels(root: &mut Section<'_>) -> Vec<(String, String)> {
    let labels: Vec<(String, String)> = root.map("labels");
    let fits = |(name, value): &(String, String)| {
        (1..=LONGEST_LABEL).contains(&name.len()) && value.len() <= LONGEST_LABEL
    };
    if labels.len() > MOST_LABELS || !labels.iter().all(fits) {
        root.mistake(
            "labels",
            format!("must be at most {MOST_LABELS}, of at most {LONGEST_LABEL} bytes each"),
        );
    }
    labels
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
            enabled: section.or("enabled", true),
            period: section.or("period", Duration::from_secs(10)),
            hook: section.or("hook", Hook::Auto),
            per_connection: section.or("per_connection", false),
            max_connections: section.or("max_connections", 262_144),
            map_sockets: section.or("map_sockets", 65_536),
            udp: Udp::read(&mut section.section("udp")),
            nat: Nat::read(&mut section.section("nat")),
            ring: section.or("ring", ByteSize(4 << 20)),
        };
        if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&netflow.period) {
            section.mistake("period", "must be between 100ms and 1h");
        }
        let ring = netflow.ring.0;
        if !ring.is_power_of_two() || !(64 << 10..=1 << 30).contains(&ring) {
            section.mistake("ring", "must be a power of two between 64KiB and 1GiB");
        }
        if netflow.map_sockets == 0 {
            section.mistake("map_sockets", "must be at least 1");
        }
        netflow
    }
}

impl Nat {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            enabled: section.or("enabled", true),
            max_entries: section.or("max_entries", 65_536),
        }
    }
}

impl Udp {
    fn read(section: &mut Section<'_>) -> Self {
        let udp = Self {
            hook: section.or("hook", UdpHook::Auto),
            max_flows: section.or("max_flows", 65_536),
        };
        if udp.max_flows == 0 {
            section.mistake("max_flows", "must be at least 1");
        }
        udp
    }
}
