//! What one collector had reported of the connections that live on, for the one that comes after it.
//!
//! The one after sees the same sockets, but may know them by other marks (an address in the kernel, a cookie): what is
//! the same for both is where a connection is.

use std::net::IpAddr;

use hashbrown::HashMap;
use weir_ebpf_common::netflow::{TcpRecord, direction, state};
use weir_proto::flow::v1::{Direction, DirectionSource};

use super::{Connection, Connections, Delta, address};

/// The connections that live, each with its totals as far as they are reported.
#[derive(Debug, Default)]
pub struct Handover {
    reported: HashMap<Ends, Connection>,
    /// Whether every connection that lived is in it.
    complete: bool,
}

/// Network namespace, and both ends.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Ends {
    netns: u32,
    ips: [IpAddr; 2],
    ports: [u16; 2],
}

impl From<&TcpRecord> for Ends {
    fn from(record: &TcpRecord) -> Self {
        Self {
            netns: record.netns,
            ips: [record.local, record.remote].map(|words| address(record.family, words)),
            ports: [record.local_port, record.remote_port],
        }
    }
}

impl Handover {
    pub(super) fn len(&self) -> usize {
        self.reported.len()
    }

    /// The pass found every connection that lives.
    pub(super) fn is_whole(&mut self) {
        self.complete = true;
    }

    /// Everything of `record` is reported.
    pub(super) fn note(&mut self, record: &TcpRecord, connection: &Connection) {
        let known = match record.facts.direction {
            direction::CONNECT => Some((Direction::Outgoing, DirectionSource::Connect)),
            direction::ACCEPT => Some((Direction::Incoming, DirectionSource::Accept)),
            _ => connection.guess,
        };
        let mut reported = connection.clone();
        reported.guess = known;
        self.reported.insert(Ends::from(record), reported);
    }
}

impl Connections {
    /// Goes on where another collector ended.
    pub(in crate::netflow) fn go_on(&mut self, before: Handover) {
        self.before = Some(before);
    }

    /// The next pass is the last one: what it reports is noted for who comes after.
    pub(in crate::netflow) fn note_for_next(&mut self) {
        self.after = Some(Handover::default());
    }

    /// What was noted.
    pub(in crate::netflow) fn hand_over(self) -> Handover {
        let mut after = self.after.unwrap_or_default();
        // What had no room is not in it, and may be reported already.
        after.complete &= self.tally.table_full == 0 && self.live.len() < self.most;
        after
    }

    /// A connection that is there at the start, with what of it is reported already.
    pub(super) fn taken_over(&mut self, record: &TcpRecord) -> Connection {
        let (known, complete) = match &mut self.before {
            Some(before) => (before.reported.remove(&Ends::from(record)), before.complete),
            None => (None, false),
        };
        if let Some(known) = known.filter(|known| !known.is_ahead_of(record)) {
            return known;
        }
        let mut connection = Connection::NEW;
        let guess = self.listeners.guess(record);
        connection.guess = Some(guess);
        if complete && u32::from(record.state) == state::ESTABLISHED {
            // It began when nobody looked.
            if let Some(row) = self.row(record, Some(guess), None, None, Delta::default(), true) {
                row.opened(record);
            }
        } else {
            connection.advance(record);
        }
        connection
    }
}

#[cfg(test)]
mod tests;
