//! From a destroy message to the record of an end.

use weir_ebpf_common::netflow::{TcpRecord, direction, kind, owner, state};

use super::{
    TCP, Tally, UNKNOWN_ERROR,
    ending::{LeftBehind, ending, was_established},
    known::Table,
    message::{InetSocket, request_one},
    places::Place,
    record::{facts, own, record, without_counters},
    tcp_sockets,
};
use crate::netlink::NetlinkError;

/// Asks for what is left of each socket.
pub(super) fn look_behind(
    place: &mut Place,
    buffer: &mut [u8],
    sockets: &[InetSocket],
    left: &mut [LeftBehind],
) -> Result<(), NetlinkError> {
    let bodies: Vec<Vec<u8>> = sockets
        .iter()
        .map(|socket| request_one(TCP, &socket.ends))
        .collect();
    place
        .questions
        .ask(tcp_sockets(&[]), &bodies, buffer, |index, answer| {
            let found = answer.and_then(|message| InetSocket::parse(message.body));
            if let (Some(left), Some(found)) = (left.get_mut(index), found) {
                *left = match u32::from(found.state) {
                    state::LISTEN => LeftBehind::Listener,
                    state::FIN_WAIT2 if found.is_time_wait() => LeftBehind::FinWait2,
                    _ if found.is_time_wait() => LeftBehind::TimeWait,
                    // Another connection between the same ports, already.
                    _ => LeftBehind::Nothing,
                };
            }
        })
}

/// The kernel has taken the peer's address and the numbers from the socket: it was reset by `SO_LINGER` of 0, its
/// connect failed, or it never was a connection. `tcp_disconnect()` leaves the largest window that the peer had, plus
/// two, in the send queue.
pub(super) fn forgotten(
    table: &mut Table,
    tally: &mut Tally,
    netns: u32,
    socket: &InetSocket,
    each: &mut impl FnMut(&TcpRecord),
) {
    if let Some(known) = table.ended((netns, socket.cookie)) {
        tally.numbers_forgotten += 1;
        let facts = facts(
            socket.cookie,
            known.seen.direction,
            known.holder.as_deref(),
            known.adopted,
        );
        each(&without_counters(
            kind::CLOSED,
            netns,
            &known.ends,
            facts,
            state::ESTABLISHED,
        ));
        return;
    }
    match socket.info.map_or(0, |info| info.not_sent) {
        0 | 1 => {}
        2 => tally.failures_forgotten += 1,
        _ => tally.numbers_forgotten += 1,
    }
}

/// Reports the end of a socket that still knows its peer.
pub(super) fn close(
    table: &mut Table,
    netns: u32,
    socket: &InetSocket,
    left: LeftBehind,
    each: &mut impl FnMut(&TcpRecord),
) {
    let Some(info) = &socket.info else { return };
    let port = socket.ends.local_port;
    let known = table.ended((netns, socket.cookie));
    if known.is_none() && !was_established(info) {
        let mut failed = record(
            kind::FAILED,
            netns,
            socket,
            facts(socket.cookie, direction::CONNECT, None, false),
            state::SYN_SENT,
            false,
        );
        failed.error = if info.segments_in > 0 {
            libc::ECONNREFUSED as u16
        } else {
            UNKNOWN_ERROR
        };
        each(&failed);
        return;
    }
    let known = known.unwrap_or_default();
    let end = ending(socket, known.seen, table.is_listening(netns, port), left);
    let mut facts = facts(
        socket.cookie,
        end.direction,
        known.holder.as_deref(),
        known.adopted,
    );
    if facts.owner == owner::UNKNOWN && end.direction == direction::ACCEPT {
        own(
            &mut facts,
            table.listener(netns, port).as_deref(),
            owner::LISTENER,
        );
    }
    let mut closed = record(kind::CLOSED, netns, socket, facts, end.state, end.fin);
    closed.error = end.error;
    each(&closed);
}
