//! From UDP flows to rows of the period.

use std::net::{Ipv4Addr, SocketAddr};

use weir_ebpf_common::netflow::{
    owner,
    udp::{UdpFlow, UdpKey, UdpRecord, trait_of},
};
use weir_proto::flow::v1::{Direction, DirectionSource, Transport};

use super::{Connections, address};
use crate::{
    drop::Flow,
    netflow::{
        rows::{Delta, RowKey},
        udp::Datagrams,
    },
};

/// The port whose users are asked for.
pub(super) const DNS: u16 = 53;

impl Connections {
    /// Tells those who see only packets whose the local end of a flow is.
    pub(in crate::netflow) fn learn_owner(&mut self, record: &UdpRecord) {
        let UdpRecord { key, flow } = record;
        if flow.owner.pid == 0 || (key.remote_port != DNS && key.local_port != DNS) {
            return;
        }
        let Some(owners) = &self.owners else { return };
        let process = self
            .processes
            .get(flow.owner.pid, flow.owner.name, flow.owner.cgroup);
        let local = address(key.family, key.local);
        owners.learn((Transport::Udp, flow.netns, local, key.local_port), process);
    }

    /// Adds what a flow did.
    pub(in crate::netflow) fn datagrams(&mut self, key: &UdpKey, flow: &UdpFlow, new: Datagrams) {
        let (direction, source) = direction(key, flow, self.listeners.first_ephemeral);
        let is_client = direction == Direction::Outgoing;
        let process = self
            .processes
            .get(flow.owner.pid, flow.owner.name, flow.owner.cgroup);
        let both = self.per_connection;
        let dst = address(key.family, key.remote);
        let src = match address(key.family, key.local) {
            // A socket of both families that is bound to no address, where only calls are seen.
            src if src.is_unspecified() && dst.is_ipv4() => Ipv4Addr::UNSPECIFIED.into(),
            src => src,
        };
        let local = SocketAddr::new(src, key.local_port);
        let remote = SocketAddr::new(dst, key.remote_port);
        let delta = Delta {
            bytes_read: new.bytes_in,
            bytes_written: new.bytes_out,
            packets_read: new.datagrams_in,
            packets_written: new.datagrams_out,
            ..Delta::default()
        };
        let dropped = Flow {
            src: local,
            dst: remote,
            transport: Transport::Udp,
            direction,
            process: &process.name,
            container: &process.container,
            netns: flow.netns,
        };
        if self.drops.drops(&dropped, delta.dropped(0)) {
            return;
        }
        let domain = is_client
            .then(|| self.domains.now(flow.netns, dst))
            .flatten();
        let peer = self.real_peer(Transport::Udp, local, remote, flow.netns);
        let row = self.rows.row(RowKey {
            transport: Transport::Udp,
            src,
            dst,
            src_port: (both || !is_client).then_some(key.local_port),
            dst_port: (both || is_client).then_some(key.remote_port),
            direction,
            source,
            netns: flow.netns,
            reason: None,
            nat: peer.map(|peer| (peer.ip(), (both || is_client).then_some(peer.port()))),
            process,
            domain,
        });
        row.add(delta);
    }
}

/// Who serves.
///
/// A program that lets the kernel choose its port is a client, unless it is spoken to first on a socket that was
/// seen from its making. One that binds its port itself and is spoken to first is a server. What is left (a bound socket that spoke first, or of which the beginning was not seen) is
/// guessed from the ports.
fn direction(key: &UdpKey, flow: &UdpFlow, first_ephemeral: u16) -> (Direction, DirectionSource) {
    let is = |bit| flow.traits & bit != 0;
    let whole = [owner::CREATOR, owner::CALLER]
        .map(u32::from)
        .contains(&flow.owner.known_by);
    let spoken_to = is(trait_of::BEGAN_INCOMING) && whole && !is(trait_of::CONNECTED);
    if spoken_to || is(trait_of::BOUND) && is(trait_of::BEGAN_INCOMING) {
        (Direction::Incoming, DirectionSource::Bind)
    } else if is(trait_of::BOUND)
        && key.local_port < first_ephemeral
        && key.local_port < key.remote_port
    {
        (Direction::Incoming, DirectionSource::Port)
    } else if is(trait_of::BOUND) && !is(trait_of::CONNECTED) {
        (Direction::Outgoing, DirectionSource::Port)
    } else if is(trait_of::CONNECTED) {
        (Direction::Outgoing, DirectionSource::Connect)
    } else {
        (Direction::Outgoing, DirectionSource::Bind)
    }
}

#[cfg(test)]
mod tests {
    use weir_ebpf_common::netflow::udp::UdpOwner;

    use super::*;

    const FIRST_EPHEMERAL: u16 = 32_768;
    const KEY: UdpKey = UdpKey {
        socket: 1,
        local: [1; 4],
        remote: [2; 4],
        local_port: 40_000,
        remote_port: 40_001,
        family: 2,
        reserved: 0,
    };

    fn of(local_port: u16, remote_port: u16, traits: u32) -> (Direction, DirectionSource) {
        let key = UdpKey {
            local_port,
            remote_port,
            ..KEY
        };
        let flow = UdpFlow {
            traits,
            ..UdpFlow::default()
        };
        direction(&key, &flow, FIRST_EPHEMERAL)
    }

    #[test]
    fn a_bound_socket_that_is_spoken_to_first_serves() {
        let traits = trait_of::BOUND | trait_of::BEGAN_INCOMING;
        assert_eq!(
            of(53, 40_000, traits),
            (Direction::Incoming, DirectionSource::Bind)
        );
        assert_eq!(
            of(40_001, 40_000, traits),
            (Direction::Incoming, DirectionSource::Bind)
        );
    }

    #[test]
    fn a_socket_whose_port_the_kernel_chose_is_a_client_whoever_speaks_first() {
        assert_eq!(
            of(40_000, 53, 0),
            (Direction::Outgoing, DirectionSource::Bind)
        );
        assert_eq!(
            of(40_000, 53, trait_of::CONNECTED | trait_of::BEGAN_INCOMING),
            (Direction::Outgoing, DirectionSource::Connect)
        );
    }

    #[test]
    fn a_new_socket_that_is_spoken_to_first_serves_at_whatever_port() {
        let flow = |traits| UdpFlow {
            traits,
            owner: UdpOwner {
                known_by: u32::from(owner::CREATOR),
                ..UdpOwner::default()
            },
            ..UdpFlow::default()
        };
        let of = |traits| direction(&KEY, &flow(traits), FIRST_EPHEMERAL);
        let incoming = (Direction::Incoming, DirectionSource::Bind);
        assert_eq!(of(trait_of::BEGAN_INCOMING), incoming);
        assert_ne!(of(trait_of::BEGAN_INCOMING | trait_of::CONNECTED), incoming);
        assert_ne!(of(0), incoming);
    }

    #[test]
    fn what_only_the_ports_tell_is_marked_as_a_guess() {
        assert_eq!(
            of(53, 40_000, trait_of::BOUND),
            (Direction::Incoming, DirectionSource::Port)
        );
        assert_eq!(
            of(123, 123, trait_of::BOUND),
            (Direction::Outgoing, DirectionSource::Port)
        );
    }
}
