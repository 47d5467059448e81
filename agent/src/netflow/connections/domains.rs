//! Names by which the peers of connections were resolved.
//!
//! A connection has the name that was the latest when it began, and keeps it. DNS answers and connections come to us by
//! different ways: a connection that has ended already may be told before the answer that led to it. One that has just
//! begun therefore waits a moment, also where an earlier name of the address is known.

use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use weir_ebpf_common::netflow::{TcpRecord, direction};

use crate::names::{Name, Names, monotonic_ns};

/// How long after its beginning a connection's name is known, if at all, in nanoseconds.
const KNOWN_AFTER: u64 = 100_000_000;

/// Connections that wait. One more has the name that is known so far.
const MOST_WAITING: usize = 8192;

/// The names, and who waits for one.
#[derive(Default)]
pub(super) struct Domains {
    pub(super) names: Option<Arc<Names>>,
    waiting: VecDeque<(u64, TcpRecord)>,
    /// Nobody has to wait any more.
    hurries: bool,
}

impl Domains {
    /// Name of the peer that `record` was connected to, at `dst`.
    pub(super) fn of(&self, record: &TcpRecord, dst: IpAddr) -> Option<Name> {
        let names = self.names.as_ref()?;
        names.find(record.netns, dst, begun(record)?)
    }

    /// Name of an address now, where it is not known since when a flow has gone there.
    pub(super) fn now(&self, netns: u32, dst: IpAddr) -> Option<Name> {
        let names = self.names.as_ref()?;
        names.find(netns, dst, monotonic_ns())
    }

    /// Keeps the record of an ended connection that is to wait for its name. Whether it does.
    pub(super) fn defer(&mut self, record: &TcpRecord) -> bool {
        if self.hurries || self.names.is_none() || self.waiting.len() >= MOST_WAITING {
            return false;
        }
        let now_ns = monotonic_ns();
        let Some(began) = begun(record).filter(|began| now_ns.saturating_sub(*began) < KNOWN_AFTER)
        else {
            return false;
        };
        self.waiting.push_back((began, *record));
        true
    }

    /// The next record that has waited long enough.
    pub(super) fn next(&mut self) -> Option<TcpRecord> {
        let (began, _) = self.waiting.front()?;
        if !self.hurries && monotonic_ns().saturating_sub(*began) < KNOWN_AFTER {
            return None;
        }
        self.waiting.pop_front().map(|(_, record)| record)
    }

    /// From now on nobody waits.
    pub(super) fn hurry(&mut self) {
        self.hurries = true;
    }
}

/// When a connection was made from here (`CLOCK_MONOTONIC`); now, where that was not seen but it is a new one.
fn begun(record: &TcpRecord) -> Option<u64> {
    let facts = &record.facts;
    if facts.direction != direction::CONNECT || facts.adopted == 1 {
        return None;
    }
    Some(match facts.connect_ns {
        0 => monotonic_ns(),
        seen => seen,
    })
}
