//! Records of the netflow collector, from what sock_diag says.

use weir_ebpf_common::netflow::{Facts, TcpRecord, owner};

use super::message::{Ends, InetSocket};
use crate::open_sockets::{Holder, NameWords};

/// The facts of a socket of which only a holder is known, if at all.
pub(super) fn facts(cookie: u64, direction: u8, holder: Option<&Holder>, adopted: bool) -> Facts {
    let mut facts = Facts {
        connect_ns: 0,
        established_ns: cookie,
        name: NameWords::default(),
        cgroup: 0,
        pid: 0,
        direction,
        owner: owner::UNKNOWN,
        adopted: u8::from(adopted),
        closed: 0,
    };
    own(&mut facts, holder, owner::HOLDER);
    facts
}

/// Puts the owner in.
pub(super) fn own(facts: &mut Facts, holder: Option<&Holder>, how: u8) {
    if let Some(holder) = holder {
        facts.pid = holder.pid;
        facts.name = holder.name;
        facts.owner = how;
    }
}

/// A record of a socket. `fin` says whether a FIN is among what it received.
pub(super) fn record(
    kind: u8,
    netns: u32,
    socket: &InetSocket,
    facts: Facts,
    state: u32,
    fin: bool,
) -> TcpRecord {
    let mut record = without_counters(kind, netns, &socket.ends, facts, state);
    if let Some(info) = &socket.info {
        record.bytes_sent = info.payload_sent();
        record.bytes_received = socket.payload_received(fin);
        record.segments_in = info.segments_in;
        record.segments_out = info.segments_out;
        record.retransmits = info.total_retransmits;
        record.rtt_us = info.rtt_us;
        record.rtt_var_us = info.rtt_var_us;
    }
    record
}

/// A record with nothing moved.
pub(super) fn without_counters(
    kind: u8,
    netns: u32,
    ends: &Ends,
    facts: Facts,
    state: u32,
) -> TcpRecord {
    TcpRecord {
        facts,
        // Cookies are counted by namespace on older kernels: the two together tell sockets apart.
        socket: u64::from(netns),
        bytes_sent: 0,
        bytes_received: 0,
        local: ends.local,
        remote: ends.remote,
        segments_in: 0,
        segments_out: 0,
        retransmits: 0,
        rtt_us: 0,
        rtt_var_us: 0,
        netns,
        local_port: ends.local_port,
        remote_port: ends.remote_port,
        family: u16::from(ends.family),
        error: 0,
        kind,
        state: state as u8,
        reserved: [0; 2],
        inode: 0,
    }
}
