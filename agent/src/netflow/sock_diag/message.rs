//! What sock_diag says of one socket: `struct inet_diag_msg` of `include/uapi/linux/inet_diag.h`, and `struct tcp_info`
//! of `include/uapi/linux/tcp.h`.

use weir_ebpf_common::netflow::{direction, state};

use crate::netlink::message::{attributes, be16_at, messages, u32_at, u64_at};

/// `SOCK_DIAG_BY_FAMILY`.
pub(super) const BY_FAMILY: u16 = 20;
/// Length of `struct inet_diag_msg`.
const LENGTH: usize = 72;
/// `INET_DIAG_INFO` of the attributes.
const INFO: u16 = 2;
/// `INET_DIAG_PROTOCOL`.
const PROTOCOL: u16 = 10;
/// `TCP_TIME_WAIT`.
const TIME_WAIT: u8 = 6;
/// `idiag_timer` of what is left of a socket in FIN_WAIT2 or TIME_WAIT when the socket itself is gone.
const TIMER_TIME_WAIT: u8 = 3;

/// Which socket, as the kernel wants it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    /// In network order; IPv4 in the first word.
    pub local: [u32; 4],
    /// Likewise; zero if there is none.
    pub remote: [u32; 4],
    /// Host byte order.
    pub local_port: u16,
    /// Host byte order; 0 if there is none.
    pub remote_port: u16,
}

/// One socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InetSocket {
    /// Addresses and ports.
    pub ends: Ends,
    /// One of [`state`], or 6 for TIME_WAIT.
    pub state: u8,
    /// Distinguishes this socket from every other of its network namespace, since boot.
    pub cookie: u64,
    /// TCP: sequence numbers received and not read by the application; a FIN takes one.
    pub receive_queue: u32,
    /// TCP: sequence numbers written and not acknowledged; SYN and FIN take one each.
    pub send_queue: u32,
    /// User id of the owner.
    pub uid: u32,
    /// 0 if no descriptor refers to it: not accepted yet, or closed.
    pub inode: u32,
    timer: u8,
    protocol: Option<u8>,
    /// Absent for UDP and for listeners' requests.
    pub info: Option<TcpInfo>,
}

/// The counters of a TCP socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Timeouts in a row (`tcpi_retransmits`).
    pub timeouts: u8,
    /// Probes in a row without an answer.
    pub probes: u8,
    /// Segments in flight.
    pub unacked: u32,
    /// Microseconds; 0 before the first sample.
    pub rtt_us: u32,
    /// Microseconds.
    pub rtt_var_us: u32,
    /// Segments sent again.
    pub total_retransmits: u32,
    /// Sequence numbers acknowledged: payload, one for the SYN of a `connect()`, one for a FIN.
    pub bytes_acked: u64,
    /// Sequence numbers received: payload, and one for a FIN.
    pub bytes_received: u64,
    /// All segments.
    pub segments_out: u32,
    /// All segments.
    pub segments_in: u32,
    /// Written and never sent.
    pub not_sent: u32,
    /// Payload sent, with what was sent again.
    pub bytes_sent: u64,
    /// Payload sent again.
    pub bytes_retransmitted: u64,
    /// The peer's window; 0 as long as the peer has not answered.
    pub send_window: u32,
}

impl TcpInfo {
    /// Payload sent for the first time.
    #[must_use]
    pub fn payload_sent(&self) -> u64 {
        self.bytes_sent.wrapping_sub(self.bytes_retransmitted)
    }

    /// `None` before Linux 4.19, which does not count sent bytes.
    fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            timeouts: *bytes.get(2)?,
            probes: *bytes.get(3)?,
            unacked: u32_at(bytes, 24)?,
            rtt_us: u32_at(bytes, 68)?,
            rtt_var_us: u32_at(bytes, 72)?,
            total_retransmits: u32_at(bytes, 100)?,
            bytes_acked: u64_at(bytes, 120)?,
            bytes_received: u64_at(bytes, 128)?,
            segments_out: u32_at(bytes, 136)?,
            segments_in: u32_at(bytes, 140)?,
            not_sent: u32_at(bytes, 144)?,
            bytes_sent: u64_at(bytes, 200)?,
            bytes_retransmitted: u64_at(bytes, 208)?,
            // Since Linux 5.4.
            send_window: u32_at(bytes, 228).unwrap_or(0),
        })
    }
}

impl InetSocket {
    /// Reads the body of one message. `None` if it is too short.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let words = |offset: usize| -> Option<[u32; 4]> {
            Some([
                u32_at(body, offset)?,
                u32_at(body, offset + 4)?,
                u32_at(body, offset + 8)?,
                u32_at(body, offset + 12)?,
            ])
        };
        let mut socket = Self {
            ends: Ends {
                family: *body.first()?,
                local: words(8)?,
                remote: words(24)?,
                local_port: be16_at(body, 4)?,
                remote_port: be16_at(body, 6)?,
            },
            state: *body.get(1)?,
            timer: *body.get(2)?,
            cookie: u64_at(body, 44)?,
            receive_queue: u32_at(body, 56)?,
            send_queue: u32_at(body, 60)?,
            uid: u32_at(body, 64)?,
            inode: u32_at(body, 68)?,
            protocol: None,
            info: None,
        };
        for (kind, value) in attributes(body.get(LENGTH..)?) {
            match kind {
                INFO => socket.info = TcpInfo::parse(value),
                PROTOCOL => socket.protocol = value.first().copied(),
                _ => {}
            }
        }
        Some(socket)
    }

    /// Whether it is of this protocol, or does not say.
    #[must_use]
    pub fn is_of(&self, protocol: u8) -> bool {
        self.protocol.is_none_or(|own| own == protocol)
    }

    /// Whether only its TIME_WAIT is left.
    #[must_use]
    pub fn is_time_wait(&self) -> bool {
        self.state == TIME_WAIT || self.timer == TIMER_TIME_WAIT
    }

    /// Whether the peer's FIN has come, for a socket that is alive. A FIN moves every state to another.
    #[must_use]
    pub fn has_fin(&self) -> bool {
        matches!(
            u32::from(self.state),
            state::CLOSE_WAIT | state::LAST_ACK | state::CLOSING
        )
    }

    /// Payload received: the FIN, which takes a sequence number, is not payload.
    #[must_use]
    pub fn payload_received(&self, fin: bool) -> u64 {
        let received = self.info.map_or(0, |info| info.bytes_received);
        received.saturating_sub(u64::from(fin))
    }

    /// Sequence numbers sent that are not payload: the SYN of a `connect()`, and a FIN. The SYN of an accepted
    /// connection is acknowledged before the kernel begins to count.
    #[must_use]
    pub fn control_sent(&self) -> i64 {
        let Some(info) = self.info else { return 0 };
        let in_flight = i64::from(self.send_queue) - i64::from(info.not_sent);
        (info.bytes_acked.wrapping_sub(info.payload_sent()) as i64).wrapping_add(in_flight)
    }

    /// Which end opened a live connection, by the SYN among what it has sent. `None` where that is not clear.
    ///
    /// The queue lengths are read a moment before the counters, so with data in flight the sum may be
    /// wrong; then it only counts if the listeners, of which `listening` tells, say the same.
    #[must_use]
    pub fn direction(&self, listening: bool) -> Option<u8> {
        let info = self.info?;
        let fin = match u32::from(self.state) {
            state::ESTABLISHED | state::CLOSE_WAIT => 0,
            state::FIN_WAIT2 => 1,
            _ => return None,
        };
        let quiet = info.unacked == 0 && info.not_sent == 0;
        let control = if quiet {
            info.bytes_acked.wrapping_sub(info.payload_sent()) as i64
        } else {
            self.control_sent()
        };
        match control.wrapping_sub(fin) {
            0 if quiet || listening => Some(direction::ACCEPT),
            1 if quiet || !listening => Some(direction::CONNECT),
            _ => None,
        }
    }
}

/// Reads every socket of one datagram; what is malformed ends it.
pub fn parse(datagram: &[u8], mut each: impl FnMut(&InetSocket)) {
    for message in messages(datagram).flatten() {
        if message.kind == BY_FAMILY
            && let Some(socket) = InetSocket::parse(message.body)
        {
            each(&socket);
        }
    }
}

/// `struct inet_diag_req_v2`: all sockets of a family in one of `states`, with their counters.
pub(super) fn request_all(family: u8, protocol: u8, states: u32) -> Vec<u8> {
    request(family, protocol, states, &Ends::default())
}

/// The same for one socket, by its addresses.
pub(super) fn request_one(protocol: u8, ends: &Ends) -> Vec<u8> {
    request(ends.family, protocol, u32::MAX, ends)
}

fn request(family: u8, protocol: u8, states: u32, ends: &Ends) -> Vec<u8> {
    /// `1 << (INET_DIAG_INFO - 1)`.
    const WITH_INFO: u8 = 1 << (INFO - 1);
    /// `INET_DIAG_NOCOOKIE`: any.
    const NO_COOKIE: [u8; 8] = [0xff; 8];
    let mut body = vec![family, protocol, WITH_INFO, 0];
    body.extend(states.to_ne_bytes());
    body.extend(ends.local_port.to_be_bytes());
    body.extend(ends.remote_port.to_be_bytes());
    body.extend(ends.local.iter().flat_map(|word| word.to_ne_bytes()));
    body.extend(ends.remote.iter().flat_map(|word| word.to_ne_bytes()));
    // Any interface.
    body.extend([0; 4]);
    body.extend(NO_COOKIE);
    body
}

#[cfg(test)]
mod tests;
