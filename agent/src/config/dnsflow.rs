//! Settings of the dnsflow collector.

use std::time::Duration;

use weir_runtime::config::{ByteSize, Section};

/// Ports that may be watched: each costs two instructions of the kernel's filter.
const MOST_PORTS: usize = 16;

/// Settings of the dnsflow collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dnsflow {
    /// Whether it runs.
    pub enabled: bool,
    /// Length of a period: how often rows are sent.
    pub period: Duration,
    /// Ports at which names are asked for, over UDP and TCP.
    pub ports: Vec<u16>,
    /// How long a query waits for its answer.
    pub timeout: Duration,
    /// Distinct names of one period; what is asked for others is shown as `~other`.
    pub max_names: usize,
    /// Queries that may wait for their answers.
    pub max_pending: usize,
    /// Namespaces that are watched.
    pub max_namespaces: usize,
    /// Packets of the agent's own namespace that wait for it, in bytes.
    pub ring: ByteSize,
    /// Packets of each other namespace that wait for the agent, in bytes.
    pub queue: ByteSize,
    /// Names of addresses.
    pub names: Names,
}

/// Settings of what is remembered of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// How long the name of an address is remembered at least, whatever its TTL says.
    pub floor: Duration,
    /// Addresses whose names are remembered, in all namespaces together.
    pub max_entries: usize,
}

impl Dnsflow {
    /// Whether the collector does the same by either, but for what is remembered of answers.
    pub(crate) fn differs_in_names_only(&self, other: &Self) -> bool {
        let other = Self {
            names: self.names,
            ..other.clone()
        };
        *self == other
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let dnsflow = Self {
            enabled: section.or("enabled", true),
            period: section.or("period", Duration::from_secs(10)),
            ports: section.list_or("ports", vec![53, 5353]),
            timeout: section.or("timeout", Duration::from_secs(5)),
            max_names: section.or("max_names", 10_000),
            max_pending: section.or("max_pending", 65_536),
            max_namespaces: section.or("max_namespaces", 1024),
            ring: section.or("ring", ByteSize(4 << 20)),
            queue: section.or("queue", ByteSize(4 << 20)),
            names: Names::read(&mut section.section("names")),
        };
        if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&dnsflow.period) {
            section.mistake("period", "must be between 100ms and 1h");
        }
        if !(Duration::from_millis(100)..=Duration::from_secs(60)).contains(&dnsflow.timeout) {
            section.mistake("timeout", "must be between 100ms and 1m");
        }
        if dnsflow.ports.is_empty() || dnsflow.ports.len() > MOST_PORTS {
            section.mistake("ports", format!("must be 1 to {MOST_PORTS} ports"));
        }
        let ring = dnsflow.ring.0;
        if !ring.is_power_of_two() || !(1 << 20..=1 << 30).contains(&ring) {
            section.mistake("ring", "must be a power of two between 1MiB and 1GiB");
        }
        if !(64 << 10..=1 << 30).contains(&dnsflow.queue.0) {
            section.mistake("queue", "must be between 64KiB and 1GiB");
        }
        dnsflow
    }
}

impl Names {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            floor: section.or("floor", Duration::from_secs(60)),
            max_entries: section.or("max_entries", 65_536),
        }
    }
}
