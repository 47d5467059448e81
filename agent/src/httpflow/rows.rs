//! Rows of the current period: requests merged by who asked whom for what, and what came of it.

use std::{net::IpAddr, sync::Arc};

use hashbrown::{HashMap, HashSet};
use weir_ebpf_common::{
    http::{HttpKey, HttpTally},
    netflow::udp::UdpOwner,
};
use weir_proto::flow::v1::{
    Counter, Direction, DirectionSource, DomainSource, FlowEvent, Httpflow, Latency, Transport,
    flow_event::Data,
};
use weir_route::Routes;

use super::{
    counted,
    exchange::{Ends, Exchange, Outcome, Reason},
    message::Version,
    paths::Paths,
    privacy::Redaction,
};
use crate::{
    netflow::kernel::Requests,
    process::{Process, Processes},
    status::counter,
};

/// What one period has at most of.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Paths of one server; those past it are shown as their routes.
    pub paths: usize,
    /// Routes of one server; those past it are shown as `~other`.
    pub routes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RowKey {
    netns: u32,
    local: IpAddr,
    remote: IpAddr,
    server_port: u16,
    is_server: bool,
    tls: bool,
    truncated: bool,
    version: Version,
    outcome: Outcome,
    pid: u32,
    method: &'static str,
    path: Arc<str>,
    route: Arc<str>,
    domain: Option<Arc<str>>,
}

#[derive(Debug)]
struct Row {
    process: Arc<Process>,
    count: u64,
    latency: Option<Latency>,
    bytes_read: u64,
    bytes_written: u64,
}

/// The rows of the period that is running.
#[derive(Debug)]
pub struct Rows {
    rows: HashMap<RowKey, Row>,
    paths: Paths,
    processes: Processes,
    /// Names of servers in the rows.
    domains: HashSet<Arc<str>>,
    taken: u64,
}

impl Rows {
    /// No rows yet.
    #[must_use]
    pub fn new(budget: Budget, routes: Routes) -> Self {
        Self {
            rows: HashMap::new(),
            paths: Paths::new(routes, budget.paths, budget.routes),
            processes: Processes::default(),
            domains: HashSet::new(),
            taken: 0,
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows taken, and requests whose paths were over the budget, since the start.
    #[must_use]
    pub fn counters(&self) -> Vec<Counter> {
        vec![
            counter("rows", "", self.taken),
            counter("http_paths_over_budget", "", self.paths.over_budget),
        ]
    }

    /// Adds a report on a request.
    pub fn add(&mut self, exchange: &Exchange<'_>) {
        let request = exchange.request;
        let what = What {
            is_server: exchange.is_server,
            tls: exchange.tls,
            truncated: request.truncated,
            version: request.version,
            outcome: exchange.outcome,
            method: request.method,
            path: &request.path,
            host: request.host.as_deref(),
        };
        let row = self.row(&exchange.ends, exchange.owner, &what);
        row.count += u64::from(exchange.counts);
        row.bytes_read += exchange.bytes_read;
        row.bytes_written += exchange.bytes_written;
        if exchange.counts
            && let Some(latency_ns) = exchange.latency_ns
        {
            row.latency.get_or_insert_default().add(latency_ns);
        }
    }

    /// The server that requests of `key` went to: network namespace, address, port.
    #[must_use]
    pub fn server_of(&self, key: &HttpKey) -> (u32, IpAddr, u16) {
        let ends = counted::ends(key);
        if counted::is_server(key) {
            (ends.netns, ends.local, ends.local_port)
        } else {
            (ends.netns, ends.remote, ends.remote_port)
        }
    }

    /// Adds what the kernel has counted by `key`. With `host`, the name that the remote end is asked for, if known.
    pub fn add_counted(
        &mut self,
        key: &HttpKey,
        tally: &HttpTally,
        new: &Requests,
        host: Option<&str>,
        redactions: &[Redaction],
    ) {
        let (ends, request) = (counted::ends(key), counted::request(key, redactions));
        let what = What {
            is_server: counted::is_server(key),
            tls: false,
            truncated: request.truncated,
            version: request.version,
            outcome: counted::outcome(key),
            method: request.method,
            path: &request.path,
            host,
        };
        let has_latency = what.outcome.reason.is_none();
        let row = self.row(&ends, &tally.owner, &what);
        row.count += new.count;
        row.bytes_read += new.bytes_in;
        row.bytes_written += new.bytes_out;
        if has_latency && new.count > 0 {
            counted::merge(row.latency.get_or_insert_default(), new);
        }
    }

    fn row(&mut self, ends: &Ends, owner: &UdpOwner, what: &What<'_>) -> &mut Row {
        let process = self.processes.get(owner.pid, owner.name, owner.cgroup);
        let (server_ip, server_port) = if what.is_server {
            (ends.local, ends.local_port)
        } else {
            (ends.remote, ends.remote_port)
        };
        let server = (ends.netns, server_ip, server_port);
        let (path, route) = self.paths.show(server, what.path);
        let domains = &mut self.domains;
        let domain = what.host.filter(|_| !what.is_server);
        let domain =
            domain.map(|name| Arc::clone(domains.get_or_insert_with(name, |name| name.into())));
        let key = RowKey {
            netns: ends.netns,
            local: ends.local,
            remote: ends.remote,
            server_port,
            is_server: what.is_server,
            tls: what.tls,
            truncated: what.truncated,
            version: what.version,
            outcome: what.outcome,
            pid: process.pid,
            method: what.method,
            path,
            route,
            domain,
        };
        self.rows.entry(key).or_insert_with(|| Row {
            process,
            count: 0,
            latency: None,
            bytes_read: 0,
            bytes_written: 0,
        })
    }

    /// An event about one request alone, with both ports; without its times.
    pub(super) fn event_of(&mut self, exchange: &Exchange<'_>) -> (FlowEvent, Httpflow) {
        let (request, ends, owner) = (exchange.request, exchange.ends, exchange.owner);
        let process = self.processes.get(owner.pid, owner.name, owner.cgroup);
        let domain = request.host.as_deref().filter(|_| !exchange.is_server);
        let event = FlowEvent {
            src_port: Some(u32::from(ends.local_port)),
            dst_port: Some(u32::from(ends.remote_port)),
            ..event(
                (ends.local, ends.remote, ends.netns),
                exchange.is_server,
                &process,
                domain,
            )
        };
        let mut latency = None;
        if let Some(latency_ns) = exchange.latency_ns {
            latency.get_or_insert_with(Latency::default).add(latency_ns);
        }
        let httpflow = Httpflow {
            route: self.paths.routes.route(&request.path).into_owned(),
            path: request.path.to_string(),
            truncated: request.truncated,
            tls: exchange.tls,
            count: 1,
            latency,
            bytes_read: exchange.all_read,
            bytes_written: exchange.all_written,
            ..outcome(request.method, request.version, &exchange.outcome)
        };
        (event, httpflow)
    }

    /// Ends the period: all its rows. `end_unix_ns` is when it ended, `length_ns` how long it was.
    pub fn take(&mut self, end_unix_ns: u64, length_ns: u64) -> Vec<FlowEvent> {
        let room = self.rows.len() * 4;
        let rows = self.rows.drain();
        let events: Vec<_> = rows
            .map(|(key, row)| FlowEvent {
                time_unix_nano: end_unix_ns,
                period_nano: length_ns,
                ..finished(&key, row)
            })
            .collect();
        self.rows.shrink_to(room);
        self.paths.clear();
        self.domains.clear();
        self.processes.forget_unused();
        self.taken += events.len() as u64;
        events
    }
}

/// What a row is of, besides who.
struct What<'a> {
    is_server: bool,
    tls: bool,
    truncated: bool,
    version: Version,
    outcome: Outcome,
    method: &'static str,
    path: &'a str,
    host: Option<&'a str>,
}

fn finished(key: &RowKey, row: Row) -> FlowEvent {
    let port = u32::from(key.server_port);
    FlowEvent {
        src_port: key.is_server.then_some(port),
        dst_port: (!key.is_server).then_some(port),
        data: Some(Data::Httpflow(Httpflow {
            path: key.path.to_string(),
            route: key.route.to_string(),
            truncated: key.truncated,
            tls: key.tls,
            count: row.count,
            latency: row.latency,
            bytes_read: row.bytes_read,
            bytes_written: row.bytes_written,
            ..outcome(key.method, key.version, &key.outcome)
        })),
        ..event(
            (key.local, key.remote, key.netns),
            key.is_server,
            &row.process,
            key.domain.as_deref(),
        )
    }
}

/// The part of a row that says what came of a request.
fn outcome(method: &str, version: Version, outcome: &Outcome) -> Httpflow {
    Httpflow {
        method: method.to_owned(),
        status_code: u32::from(outcome.status),
        http_version: version.name().to_owned(),
        reason: outcome.reason.map_or("", Reason::name).to_owned(),
        grpc_status: outcome.grpc_status,
        ..Httpflow::default()
    }
}

/// Who asks sent the request, so the direction is a fact.
fn event(
    (local, remote, netns): (IpAddr, IpAddr, u32),
    is_server: bool,
    process: &Process,
    domain: Option<&str>,
) -> FlowEvent {
    let (direction, source) = if is_server {
        (Direction::Incoming, DirectionSource::Accept)
    } else {
        (Direction::Outgoing, DirectionSource::Connect)
    };
    let domain_source = domain.map_or(DomainSource::Unspecified, |_| DomainSource::Http);
    FlowEvent {
        src_ip: octets(local),
        dst_ip: octets(remote),
        transport: Transport::Tcp.into(),
        direction: direction.into(),
        direction_source: source.into(),
        pid: process.pid,
        process_name: process.name.to_string(),
        container_id: process.container.to_string(),
        netns,
        dst_domain: domain.unwrap_or_default().to_owned(),
        dst_domain_source: domain_source.into(),
        ..FlowEvent::default()
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests;
