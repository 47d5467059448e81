//! How a connection ended, from what the kernel says of it afterwards.
//!
//! The destroy message has neither the state that the socket left nor whether a FIN had come, only counters.
//! Both follow from them, from what passes saw before, and from what the socket has left behind:
//!
//! | our FIN | left in the receive queue | TIME_WAIT left behind | so |
//! |---|---|---|---|
//! | acknowledged | something | | a FIN came that nobody read: unread data would have made a RST of our FIN |
//! | acknowledged | nothing | none | we closed second: a FIN came |
//! | acknowledged | nothing | in FIN_WAIT2 | we closed first, the peer has not yet: no FIN came |
//! | acknowledged | nothing | in TIME_WAIT | we closed first; the FIN came to the TIME_WAIT, after the socket |
//! | not | | | reset or timed out: a FIN came if a pass saw it |
//!
//! In one case this is off by the one number that the FIN took: an application that shuts its side down, reads to
//! the end of the peer's data and closes, all between two passes, looks like the fourth line. So does, in the last
//! line, a FIN that came after the last pass.

use weir_ebpf_common::netflow::{direction, state};

use super::message::{InetSocket, TcpInfo};

/// What passes saw of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// One of [`direction`].
    pub(super) direction: u8,
    /// The peer's FIN had come.
    pub(super) fin: bool,
    /// We had sent our FIN, and a descriptor still referred to the socket.
    pub(super) half_closed: bool,
}

/// What the kernel has at a socket's addresses when the socket is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeftBehind {
    Nothing,
    /// Nothing of the connection, but somebody listens at its local port.
    Listener,
    FinWait2,
    TimeWait,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// One of [`direction`].
    pub(super) direction: u8,
    /// The state that was left, one of [`state`].
    pub(super) state: u32,
    /// An errno.
    pub(super) error: u16,
    /// Whether the peer's FIN is among what was received.
    pub(super) fin: bool,
}

/// Whether the peer ever answered. A `connect()` that failed has heard at most a RST.
pub(super) fn was_established(info: &TcpInfo) -> bool {
    info.bytes_acked > 0 || info.bytes_received > 0 || info.send_window > 0 || info.rtt_us > 0
}

/// Which end opened the connection, and whether our FIN was sent.
fn opened(socket: &InetSocket, seen: Seen, listening: bool, left: LeftBehind) -> (u8, bool) {
    let control = socket.control_sent();
    let direction = match (seen.direction, control) {
        (direction::UNKNOWN, 2..) => direction::CONNECT,
        (direction::UNKNOWN, ..=0) => direction::ACCEPT,
        // Either a SYN or a FIN; a FIN that was acknowledged leaves a TIME_WAIT if it was the first.
        (direction::UNKNOWN, _) if listening || left != LeftBehind::Nothing => direction::ACCEPT,
        (known, _) => known,
    };
    let syn = i64::from(direction == direction::CONNECT);
    // Unknown still: no listener, so most likely a client that sent no FIN, unless its port says server.
    let fin = if direction == direction::UNKNOWN {
        socket.ends.local_port < socket.ends.remote_port
    } else {
        control > syn
    };
    (direction, fin)
}

/// Whether [`ending`] needs to know what the socket left behind.
pub(super) fn needs_look(socket: &InetSocket, seen: Seen, listening: bool) -> bool {
    if seen.direction == direction::UNKNOWN && socket.control_sent() == 1 && !listening {
        return true;
    }
    let (_, fin_sent) = opened(socket, seen, listening, LeftBehind::Nothing);
    fin_sent && socket.send_queue == 0 && socket.receive_queue == 0 && !seen.fin
}

/// How an established connection ended. `listening` says whether somebody listened at the local port.
pub(super) fn ending(socket: &InetSocket, seen: Seen, listening: bool, left: LeftBehind) -> Ending {
    let (direction, fin_sent) = opened(socket, seen, listening, left);
    let orderly = fin_sent && socket.send_queue == 0;
    if !orderly {
        let info = socket.info.unwrap_or_default();
        let timed_out = info.timeouts > 0 || info.probes > 0;
        return Ending {
            direction,
            state: match (seen.fin, fin_sent) {
                (true, _) => state::CLOSE_WAIT,
                (false, true) => state::FIN_WAIT1,
                (false, false) => state::ESTABLISHED,
            },
            error: if timed_out { libc::ETIMEDOUT as u16 } else { 0 },
            fin: seen.fin,
        };
    }
    let gone = matches!(left, LeftBehind::Nothing | LeftBehind::Listener);
    let second = gone && !seen.half_closed;
    Ending {
        direction,
        state: if second {
            state::LAST_ACK
        } else {
            state::FIN_WAIT2
        },
        error: 0,
        fin: seen.fin
            || socket.receive_queue > 0
            || match left {
                LeftBehind::Nothing | LeftBehind::Listener => true,
                LeftBehind::FinWait2 => false,
                LeftBehind::TimeWait => seen.half_closed,
            },
    }
}

#[cfg(test)]
mod tests;
