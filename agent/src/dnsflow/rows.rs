//! Rows of the current period: queries merged by who asked whom for what, and what came of it.

use std::{net::IpAddr, sync::Arc};

use hashbrown::{HashMap, HashSet};
use weir_proto::flow::v1::{Direction, Dnsflow, FlowEvent, Latency, Transport, flow_event::Data};

use super::{message::kind_name, tracker::Done};
use crate::{owners::Owners, process::Process};

/// The name of rows whose names are over the budget.
const OTHER: &str = "~other";

/// What is reported where no answer came in time.
const NO_ANSWER: i32 = -1;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RowKey {
    netns: u32,
    src: IpAddr,
    dst: IpAddr,
    server_port: u16,
    is_client: bool,
    is_tcp: bool,
    name: Arc<str>,
    kind: u16,
    rcode: i32,
    pid: u32,
}

#[derive(Debug)]
struct Row {
    process: Arc<Process>,
    count: u64,
    latency: Option<Latency>,
}

/// The rows of the period that is running.
#[derive(Debug)]
pub(super) struct Rows {
    rows: HashMap<RowKey, Row>,
    names: HashSet<Arc<str>>,
    most_names: usize,
    other: Arc<str>,
    nobody: Arc<Process>,
    /// Queries whose names were over the budget, since the beginning.
    pub(super) over_budget: u64,
}

impl Rows {
    /// Rows with at most so many names in a period.
    pub(super) fn new(most_names: usize) -> Self {
        Self {
            rows: HashMap::new(),
            names: HashSet::new(),
            most_names,
            other: OTHER.into(),
            nobody: Arc::default(),
            over_budget: 0,
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds a query, to a row of each end that is here.
    pub(super) fn add(&mut self, done: &Done, owners: &Owners) {
        let Done {
            endpoints,
            roles,
            question,
            answer,
            ..
        } = done;
        if !roles.client && !roles.server {
            return;
        }
        let name = self.name(&question.name);
        for is_client in [true, false] {
            if !(if is_client {
                roles.client
            } else {
                roles.server
            }) {
                continue;
            }
            let (local, remote) = if is_client {
                (endpoints.client, endpoints.server)
            } else {
                (endpoints.server, endpoints.client)
            };
            let transport = transport(endpoints.is_tcp);
            let process = owners
                .find(&(transport, endpoints.netns, local.ip(), local.port()))
                .unwrap_or_else(|| Arc::clone(&self.nobody));
            let key = RowKey {
                netns: endpoints.netns,
                src: local.ip(),
                dst: remote.ip(),
                server_port: endpoints.server.port(),
                is_client,
                is_tcp: endpoints.is_tcp,
                name: Arc::clone(&name),
                kind: question.kind,
                rcode: answer.map_or(NO_ANSWER, |(rcode, _)| rcode.into()),
                pid: process.pid,
            };
            let row = self.rows.entry(key).or_insert_with(|| Row {
                process,
                count: 0,
                latency: None,
            });
            row.count += 1;
            if let Some((_, Some(latency))) = answer {
                row.latency.get_or_insert_default().add(*latency);
            }
        }
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        if self.names.len() >= self.most_names {
            self.over_budget += 1;
            return Arc::clone(&self.other);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    /// Ends the period: all its rows.
    pub(super) fn take(&mut self, end_unix_ns: u64, length_ns: u64) -> Vec<FlowEvent> {
        self.names = HashSet::new();
        let rows = std::mem::take(&mut self.rows);
        rows.into_iter()
            .map(|(key, row)| event(&key, row, end_unix_ns, length_ns))
            .collect()
    }
}

fn event(key: &RowKey, row: Row, end_unix_ns: u64, length_ns: u64) -> FlowEvent {
    let server_port = Some(u32::from(key.server_port));
    FlowEvent {
        time_unix_nano: end_unix_ns,
        period_nano: length_ns,
        src_ip: octets(key.src),
        dst_ip: octets(key.dst),
        src_port: server_port.filter(|_| !key.is_client),
        dst_port: server_port.filter(|_| key.is_client),
        transport: transport(key.is_tcp).into(),
        // Known from the message, which says whether it asks: a fact for which there is no word in `direction_source`.
        direction: if key.is_client {
            Direction::Outgoing
        } else {
            Direction::Incoming
        }
        .into(),
        pid: row.process.pid,
        process_name: row.process.name.to_string(),
        container_id: row.process.container.to_string(),
        netns: key.netns,
        data: Some(Data::Dnsflow(Dnsflow {
            query_name: key.name.to_string(),
            query_type: kind_name(key.kind),
            rcode: key.rcode,
            count: row.count,
            latency: row.latency,
        })),
        ..FlowEvent::default()
    }
}

fn transport(is_tcp: bool) -> Transport {
    if is_tcp {
        Transport::Tcp
    } else {
        Transport::Udp
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
