//! Who listens, and what that tells of connections whose beginning was not seen.

use hashbrown::HashSet;
use weir_ebpf_common::netflow::TcpRecord;
use weir_proto::flow::v1::{Direction, DirectionSource};

/// Who listens, as the last pass over all open files found it.
pub(super) struct Listeners {
    /// Network namespace and port.
    pub(super) known: HashSet<(u32, u16)>,
    pub(super) first_ephemeral: u16,
}

impl Listeners {
    /// Nobody yet. `first_ephemeral` is the lowest port that the kernel gives to clients.
    pub(super) fn new(first_ephemeral: u16) -> Self {
        Self {
            known: HashSet::new(),
            first_ephemeral,
        }
    }

    /// Direction of a connection whose beginning was not seen.
    ///
    /// Every listener is known, so without one the local end is most likely the client. Only a port that
    /// clients do not get, lower than the peer's, speaks for a server that stopped listening.
    pub(super) fn guess(&self, record: &TcpRecord) -> (Direction, DirectionSource) {
        let (local, remote) = (record.local_port, record.remote_port);
        if self.known.contains(&(record.netns, local)) {
            (Direction::Incoming, DirectionSource::Listen)
        } else if local < self.first_ephemeral && local < remote {
            (Direction::Incoming, DirectionSource::Port)
        } else {
            (Direction::Outgoing, DirectionSource::Port)
        }
    }
}
