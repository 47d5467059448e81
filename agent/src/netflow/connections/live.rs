//! What is kept of a connection that lives over the end of a period.

use weir_ebpf_common::netflow::TcpRecord;
use weir_proto::flow::v1::{Direction, DirectionSource};

use crate::{names::Name, netflow::rows::Delta};

/// What distinguishes one connection from every other: no two sockets are in one place at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ConnectionKey {
    socket: u64,
    established_ns: u64,
}

impl From<&TcpRecord> for ConnectionKey {
    fn from(record: &TcpRecord) -> Self {
        Self {
            socket: record.socket,
            established_ns: record.facts.established_ns,
        }
    }
}

/// A connection that lives over the end of a period: what was already reported of it.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    bytes_sent: u64,
    bytes_received: u64,
    segments_in: u32,
    segments_out: u32,
    retransmits: u32,
    /// Pass in which it was last seen.
    pub(super) seen: u32,
    /// For a connection older than the agent.
    pub(super) guess: Option<(Direction, DirectionSource)>,
    pub(super) domain: Option<Name>,
    /// Times that the name was looked for.
    pub(super) looked: u8,
}

impl Connection {
    pub(super) const NEW: Self = Self {
        bytes_sent: 0,
        bytes_received: 0,
        segments_in: 0,
        segments_out: 0,
        retransmits: 0,
        seen: 0,
        guess: None,
        domain: None,
        looked: 0,
    };

    /// Whether more was reported of it than `record` has: it is another one in the same place.
    pub(super) fn is_ahead_of(&self, record: &TcpRecord) -> bool {
        self.bytes_sent > record.bytes_sent || self.bytes_received > record.bytes_received
    }

    /// Takes over the record's totals and returns what is new. A total read in the middle of an update
    /// may be behind the one before: then there is nothing new yet.
    pub(super) fn advance(&mut self, record: &TcpRecord) -> Delta {
        fn new_part<T: Copy + PartialOrd + std::ops::Sub<Output = T> + Into<u64>>(
            last: &mut T,
            now: T,
        ) -> u64 {
            if now <= *last {
                return 0;
            }
            (now - std::mem::replace(last, now)).into()
        }
        Delta {
            bytes_read: new_part(&mut self.bytes_received, record.bytes_received),
            bytes_written: new_part(&mut self.bytes_sent, record.bytes_sent),
            packets_read: wrapping_part(&mut self.segments_in, record.segments_in),
            packets_written: wrapping_part(&mut self.segments_out, record.segments_out),
            retransmits: wrapping_part(&mut self.retransmits, record.retransmits),
            rtt_us: record.rtt_us,
            rtt_var_us: record.rtt_var_us,
        }
    }
}

/// The kernel counts segments in 32 bits and starts again at 0.
fn wrapping_part(last: &mut u32, now: u32) -> u64 {
    let step = now.wrapping_sub(*last);
    // Half the range is behind, not ahead.
    if step > u32::MAX / 2 {
        return 0;
    }
    *last = now;
    u64::from(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_counters_may_start_again() {
        let mut last = u32::MAX - 1;
        assert_eq!(wrapping_part(&mut last, 3), 5);
        assert_eq!(wrapping_part(&mut last, 2), 0, "a step back is no progress");
        assert_eq!(wrapping_part(&mut last, 4), 1);
    }
}
