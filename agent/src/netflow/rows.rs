//! Rows of the current period: what each merged flow did.

use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

use hashbrown::HashMap;
use weir_ebpf_common::netflow::{TcpRecord, direction};
use weir_proto::flow::v1::{
    Direction, DirectionSource, DomainSource, FlowEvent, Netflow, Transport, flow_event::Data,
};

use crate::{drop::Amount, names::Name, process::Process};

/// Why a connect failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    Refused,
    Timeout,
    Unreachable,
    Reset,
    /// The application closed the socket before the peer answered.
    Aborted,
    /// Another error of the kernel.
    Other,
}

impl Reason {
    pub(super) fn from_errno(error: u16) -> Self {
        match i32::from(error) {
            0 => Self::Aborted,
            libc::ECONNREFUSED => Self::Refused,
            libc::ETIMEDOUT => Self::Timeout,
            libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENETDOWN => {
                Self::Unreachable
            }
            libc::ECONNRESET => Self::Reset,
            _ => Self::Other,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Aborted => "aborted",
            Self::Other => "other",
        }
    }
}

/// The tags over which connections are merged into one row.
#[derive(Clone, Debug)]
pub(super) struct RowKey {
    pub(super) transport: Transport,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// `None` is the merged client side.
    pub(super) src_port: Option<u16>,
    pub(super) dst_port: Option<u16>,
    pub(super) direction: Direction,
    pub(super) source: DirectionSource,
    pub(super) netns: u32,
    pub(super) reason: Option<Reason>,
    /// The real peer where the remote address is a translated one; without a port where clients are merged.
    pub(super) nat: Option<(IpAddr, Option<u16>)>,
    pub(super) process: Arc<Process>,
    /// The name by which the remote address was resolved.
    pub(super) domain: Option<Name>,
}

impl PartialEq for RowKey {
    fn eq(&self, other: &Self) -> bool {
        self.transport == other.transport
            && self.src == other.src
            && self.dst == other.dst
            && self.src_port == other.src_port
            && self.dst_port == other.dst_port
            && self.direction == other.direction
            && self.source == other.source
            && self.netns == other.netns
            && self.reason == other.reason
            && self.nat == other.nat
            && self.domain == other.domain
            && (Arc::ptr_eq(&self.process, &other.process) || self.process == other.process)
    }
}

impl Eq for RowKey {}

impl Hash for RowKey {
    /// The process's names follow from its id, nearly always: they need not be hashed.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.src, self.dst, self.src_port, self.dst_port).hash(state);
        (
            self.transport as i32,
            self.direction as i32,
            self.netns,
            self.reason,
            self.nat,
            self.process.pid,
            &self.domain,
        )
            .hash(state);
    }
}

/// What a connection did since it was last looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delta {
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
    pub(super) packets_read: u64,
    pub(super) packets_written: u64,
    pub(super) retransmits: u64,
    pub(super) rtt_us: u32,
    pub(super) rtt_var_us: u32,
}

impl Delta {
    /// What is counted when a rule drops this, with so many connections that began.
    pub(super) fn dropped(self, connections: u64) -> Amount {
        Amount {
            items: connections,
            packets: self.packets_read + self.packets_written,
            bytes: self.bytes_read + self.bytes_written,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    delta: Delta,
    /// Sums of `value * weight`, and of the weights: a connection weighs as many bytes as it moved.
    rtt: f64,
    rtt_var: f64,
    rtt_weight: f64,
    pub(super) established: u64,
    pub(super) closed: u64,
    pub(super) failed: u64,
    pub(super) reset: u64,
    connects: u64,
    connect_ns: u64,
    connect_max_ns: u64,
    pub(super) connections: u64,
}

impl Row {
    pub(super) fn add(&mut self, delta: Delta) {
        self.delta.bytes_read += delta.bytes_read;
        self.delta.bytes_written += delta.bytes_written;
        self.delta.packets_read += delta.packets_read;
        self.delta.packets_written += delta.packets_written;
        self.delta.retransmits += delta.retransmits;
        if delta.rtt_us > 0 {
            // An idle connection still has a round-trip time; it weighs as little as one byte.
            let weight = (delta.bytes_read + delta.bytes_written).max(1) as f64;
            self.rtt += f64::from(delta.rtt_us) * weight;
            self.rtt_var += f64::from(delta.rtt_var_us) * weight;
            self.rtt_weight += weight;
        }
    }

    /// Counts the beginning of a connection that is seen for the first time.
    pub(super) fn opened(&mut self, record: &TcpRecord) {
        self.established += 1;
        let (from, to) = (record.facts.connect_ns, record.facts.established_ns);
        if record.facts.direction == direction::CONNECT && from > 0 && to >= from {
            self.connected(to - from);
        }
    }

    fn connected(&mut self, latency_ns: u64) {
        self.connects += 1;
        self.connect_ns += latency_ns;
        self.connect_max_ns = self.connect_max_ns.max(latency_ns);
    }

    fn event(&self, key: &RowKey, period: Period) -> FlowEvent {
        let weighted = |sum: f64| (self.rtt_weight > 0.0).then(|| sum / self.rtt_weight);
        let connected = self.connects > 0;
        FlowEvent {
            time_unix_nano: period.end_unix_ns,
            period_nano: period.length_ns,
            src_ip: octets(key.src),
            dst_ip: octets(key.dst),
            src_port: key.src_port.map(u32::from),
            dst_port: key.dst_port.map(u32::from),
            transport: key.transport.into(),
            direction: key.direction.into(),
            direction_source: key.source.into(),
            pid: key.process.pid,
            process_name: key.process.name.to_string(),
            container_id: key.process.container.to_string(),
            netns: key.netns,
            dst_nat_ip: key
                .nat
                .map(|(address, _)| octets(address))
                .unwrap_or_default(),
            dst_domain: key.domain.as_deref().unwrap_or_default().to_owned(),
            dst_domain_source: key
                .domain
                .as_ref()
                .map_or(DomainSource::Unspecified, |name| name.source)
                .into(),
            dst_nat_port: key.nat.and_then(|(_, port)| port).map(u32::from),
            data: Some(Data::Netflow(Netflow {
                bytes_read: self.delta.bytes_read,
                bytes_written: self.delta.bytes_written,
                packets_read: self.delta.packets_read,
                packets_written: self.delta.packets_written,
                retransmits: self.delta.retransmits,
                rtt_us: weighted(self.rtt),
                rtt_var_us: weighted(self.rtt_var),
                tcp_established: self.established,
                tcp_closed: self.closed,
                tcp_failed: self.failed,
                reason: key.reason.map_or("", Reason::name).to_owned(),
                tcp_reset: self.reset,
                connect_latency_us: connected
                    .then(|| self.connect_ns as f64 / self.connects as f64 / 1e3),
                connect_latency_max_us: connected.then_some(self.connect_max_ns as f64 / 1e3),
                connections: self.connections,
            })),
        }
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// When a period ended and how long it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    pub(super) end_unix_ns: u64,
    pub(super) length_ns: u64,
}

/// The rows of the period that is running.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: HashMap<RowKey, Row>,
}

impl Rows {
    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The row of a key, empty if it has not done anything yet.
    pub(super) fn row(&mut self, key: RowKey) -> &mut Row {
        self.rows.entry(key).or_default()
    }

    /// Ends the period: all its rows, and room for the next. A row that had live connections comes once
    /// more in the next period even if nothing happens, so that the last word on it is never a stale count.
    pub(super) fn take(&mut self, period: Period) -> Vec<FlowEvent> {
        let events = self
            .rows
            .iter()
            .map(|(key, row)| row.event(key, period))
            .collect();
        self.rows.retain(|_, row| {
            let keep = row.connections > 0;
            *row = Row::default();
            keep
        });
        self.rows.shrink_to(self.rows.len() * 4);
        events
    }
}
