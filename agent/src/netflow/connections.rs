//! From records of connections, totals since each began, to rows of the period, deltas.

mod domains;
mod handover;
mod listeners;
mod live;
mod udp;

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use hashbrown::HashMap;
use weir_ebpf_common::netflow::{TcpRecord, direction, kind, owner, state};
use weir_proto::flow::v1::{Direction, DirectionSource, FlowEvent, Transport};

pub use self::handover::Handover;
use self::{
    domains::Domains,
    listeners::Listeners,
    live::{Connection, ConnectionKey},
    udp::DNS,
};
use super::{
    nat::Translations,
    rows::{Delta, Period, Reason, Row, RowKey, Rows},
};
use crate::{
    drop::{Dropper, Flow},
    names::{Name, Names},
    owners::Owners,
    process::Processes,
};

const AF_INET6: u16 = 10;

/// What was counted about the connections; each only grows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Connections that vanished without a record of their end.
    pub(super) end_unseen: u64,
    /// Connections older than the agent for which there was no room: what they moved is not known.
    pub(super) table_full: u64,
}

/// Every live connection of the node, and the rows of the period.
pub(super) struct Connections {
    live: HashMap<ConnectionKey, Connection>,
    listeners: Listeners,
    adopted: Vec<TcpRecord>,
    rows: Rows,
    processes: Processes,
    pass: u32,
    most: usize,
    per_connection: bool,
    unsettled: bool,
    domains: Domains,
    /// What a collector before this one had reported of connections that live on.
    before: Option<Handover>,
    /// What is left to the one after this.
    after: Option<Handover>,
    /// The real peers of translated connections, if they are followed.
    pub(super) translations: Option<Translations>,
    /// What is left out.
    pub(super) drops: Dropper,
    /// Where owners of sockets are told, if anybody asks.
    pub(super) owners: Option<Arc<Owners>>,
    pub(super) tally: Tally,
}

impl Connections {
    /// Room for `most` connections that live over the end of a period. One without room is reported whole
    /// when it ends. `first_ephemeral` is the lowest port that the kernel gives to clients. With `per_connection`
    /// every connection has rows of its own.
    pub(super) fn new(most: usize, first_ephemeral: u16, per_connection: bool) -> Self {
        Self {
            live: HashMap::new(),
            listeners: Listeners::new(first_ephemeral),
            adopted: Vec::new(),
            rows: Rows::default(),
            processes: Processes::default(),
            pass: 0,
            most,
            per_connection,
            unsettled: false,
            domains: Domains::default(),
            before: None,
            after: None,
            translations: None,
            drops: Dropper::default(),
            owners: None,
            tally: Tally::default(),
        }
    }

    /// Number of connections that are followed.
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Number of rows of the period so far.
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Whether some live connection's owner is only supposed: the process that listens, not yet the one
    /// that serves.
    pub(super) fn has_unsettled_owners(&self) -> bool {
        self.unsettled
    }

    /// Takes one record, of whatever kind.
    pub(super) fn record(&mut self, record: &TcpRecord) {
        match record.kind {
            kind::LIVE => self.live(record),
            kind::CLOSED | kind::FAILED => {
                let is_new = !self.live.contains_key(&ConnectionKey::from(record));
                if !is_new || !self.domains.defer(record) {
                    self.ended(record);
                }
            }
            kind::ADOPTED => self.adopted.push(*record),
            kind::LISTENING => drop(
                self.listeners
                    .known
                    .insert((record.netns, record.local_port)),
            ),
            _ => {}
        }
    }

    /// Call before a pass over all open files.
    pub(super) fn begin_owners(&mut self) {
        self.listeners.known.clear();
    }

    /// Call after it: now that every listener is known, the adopted connections get their direction.
    pub(super) fn end_owners(&mut self) {
        for record in std::mem::take(&mut self.adopted) {
            if self.live.len() >= self.most {
                self.tally.table_full += 1;
                continue;
            }
            let mut connection = self.taken_over(&record);
            connection.seen = self.pass;
            self.live.insert(ConnectionKey::from(&record), connection);
        }
        let left = self.before.take();
        self.tally.end_unseen += left.map_or(0, |left| left.len() as u64);
        self.adopted.shrink_to(0);
        self.listeners.known.shrink_to(0);
    }

    /// Call before a pass over the live connections.
    pub(super) fn begin_pass(&mut self) {
        self.pass = self.pass.wrapping_add(1);
        self.unsettled = false;
    }

    /// Call after the pass, and after every record that was written before it ended.
    ///
    /// A connection that two passes in a row did not find has ended, and the record of it was lost. One
    /// pass is not enough: the kernel marks the end a moment before it writes the record.
    pub(super) fn end_pass(&mut self) {
        let pass = self.pass;
        let before = self.live.len();
        self.live
            .retain(|_, connection| pass.wrapping_sub(connection.seen) < 2);
        self.tally.end_unseen += (before - self.live.len()) as u64;
        self.live.shrink_to(self.live.len() * 4);
        if let Some(after) = &mut self.after {
            after.is_whole();
        }
    }

    /// Ends the period.
    pub(super) fn take(&mut self, period: Period) -> Vec<FlowEvent> {
        let events = self.rows.take(period);
        self.processes.forget_unused();
        events
    }

    fn live(&mut self, record: &TcpRecord) {
        self.unsettled |= record.facts.owner <= owner::ACCEPTOR;
        let key = ConnectionKey::from(record);
        let room = self.live.len() < self.most;
        let is_new = !self.live.contains_key(&key);
        if is_new && (!room || record.facts.adopted == 1) {
            // Without room it is reported whole when it ends; an adopted one was counted as lost.
            return;
        }
        let connection = self.live.entry(key).or_insert(Connection::NEW);
        connection.seen = self.pass;
        // The second time for an answer that is told only now.
        if connection.domain.is_none() && connection.looked < 2 {
            connection.looked += 1;
            let dst = address(record.family, record.remote);
            connection.domain = self.domains.of(record, dst);
        }
        let (delta, guess) = (connection.advance(record), connection.guess);
        let domain = connection.domain.clone();
        if let Some(after) = &mut self.after {
            after.note(record, connection);
        }
        let Some(row) = self.row(record, guess, None, domain, delta, is_new) else {
            return;
        };
        row.connections += 1;
        if is_new {
            row.opened(record);
        }
    }

    /// Names the peers of connections from now on, or none of them.
    pub(super) fn name_peers(&mut self, names: Option<Arc<Names>>) {
        self.domains.names = names;
    }

    /// From now on there is room for `most`, and every connection has rows of its own, or not. Those that are followed
    /// stay so.
    pub(super) fn set(&mut self, most: usize, per_connection: bool) {
        self.most = most;
        self.per_connection = per_connection;
    }

    /// Takes up ended connections that have waited for their names long enough, or all of them from now on.
    pub(super) fn settle_names(&mut self, all: bool) {
        if all {
            self.domains.hurry();
        }
        while let Some(record) = self.domains.next() {
            self.ended(&record);
        }
    }

    fn ended(&mut self, record: &TcpRecord) {
        match record.kind {
            kind::FAILED => self.failed(record),
            _ => self.closed(record),
        }
    }

    fn closed(&mut self, record: &TcpRecord) {
        let known = self.live.remove(&ConnectionKey::from(record));
        let is_new = known.is_none();
        if is_new && record.facts.adopted == 1 {
            return;
        }
        let mut connection = known.unwrap_or(Connection::NEW);
        let (delta, guess) = (connection.advance(record), connection.guess);
        let dst = address(record.family, record.remote);
        let domain = match connection.domain {
            None if is_new => self.domains.of(record, dst),
            domain => domain,
        };
        let Some(row) = self.row(record, guess, None, domain, delta, is_new) else {
            return;
        };
        row.closed += 1;
        row.reset += u64::from(ended_by_reset(record));
        if is_new {
            row.opened(record);
        }
    }

    fn failed(&mut self, record: &TcpRecord) {
        let mut attempt = Connection::NEW;
        let domain = self
            .domains
            .of(record, address(record.family, record.remote));
        let delta = attempt.advance(record);
        let reason = Some(Reason::from_errno(record.error));
        if let Some(row) = self.row(record, None, reason, domain, delta, true) {
            row.failed += 1;
        }
    }

    /// The row of a connection, with `delta` added; `None` if a rule drops it. `is_new` says whether it was never
    /// seen before.
    fn row(
        &mut self,
        record: &TcpRecord,
        guessed: Option<(Direction, DirectionSource)>,
        reason: Option<Reason>,
        domain: Option<Name>,
        delta: Delta,
        is_new: bool,
    ) -> Option<&mut Row> {
        let (src, dst) = (
            address(record.family, record.local),
            address(record.family, record.remote),
        );
        let local = SocketAddr::new(src, record.local_port);
        let remote = SocketAddr::new(dst, record.remote_port);
        let (direction, source) = match record.facts.direction {
            direction::CONNECT => (Direction::Outgoing, DirectionSource::Connect),
            direction::ACCEPT => (Direction::Incoming, DirectionSource::Accept),
            _ => guessed.unwrap_or_else(|| self.listeners.guess(record)),
        };
        let is_client = direction == Direction::Outgoing;
        let both = self.per_connection;
        let process = self
            .processes
            .get(record.facts.pid, record.facts.name, record.facts.cgroup);
        if let Some(owners) = &self.owners
            && record.facts.pid != 0
            && (record.remote_port == DNS || record.local_port == DNS)
        {
            let local = (Transport::Tcp, record.netns, src, record.local_port);
            owners.learn(local, Arc::clone(&process));
        }
        let flow = Flow {
            src: local,
            dst: remote,
            transport: Transport::Tcp,
            direction,
            process: &process.name,
            container: &process.container,
            netns: record.netns,
        };
        if self.drops.drops(&flow, delta.dropped(is_new.into())) {
            return None;
        }
        let peer = self.real_peer(Transport::Tcp, local, remote, record.netns);
        let row = self.rows.row(RowKey {
            transport: Transport::Tcp,
            src,
            dst,
            src_port: (both || !is_client).then_some(record.local_port),
            dst_port: (both || is_client).then_some(record.remote_port),
            direction,
            source,
            netns: record.netns,
            reason,
            nat: peer.map(|peer| (peer.ip(), (both || is_client).then_some(peer.port()))),
            process,
            domain,
        });
        row.add(delta);
        Some(row)
    }

    fn real_peer(
        &self,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
        netns: u32,
    ) -> Option<SocketAddr> {
        self.translations
            .as_ref()
            .filter(|translations| !translations.is_empty())?
            .peer(transport, local, remote, netns)
    }

    /// Takes up what is translated by now. Call before records, which come after.
    pub(super) fn follow_translations(&mut self) {
        if let Some(translations) = &mut self.translations {
            translations.drain();
        }
    }
}

/// Whether one of the ends sent RST.
///
/// The kernel leaves an error where it received one. Where it sent one (unread data, `SO_LINGER` of 0,
/// data after close) it leaves none, but goes to CLOSE from a state from which no orderly end leads there.
fn ended_by_reset(record: &TcpRecord) -> bool {
    match i32::from(record.error) {
        libc::ECONNRESET | libc::EPIPE => true,
        0 => matches!(
            u32::from(record.state),
            state::ESTABLISHED | state::CLOSE_WAIT | state::FIN_WAIT1
        ),
        _ => false,
    }
}

/// IPv4-mapped IPv6 is IPv4: else the two ends of one flow would not match.
fn address(family: u16, words: [u32; 4]) -> IpAddr {
    let mut octets = [0; 16];
    for (to, word) in octets.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    if family == AF_INET6 {
        Ipv6Addr::from(octets).to_canonical()
    } else {
        IpAddr::from([octets[0], octets[1], octets[2], octets[3]])
    }
}

#[cfg(test)]
mod tests;
