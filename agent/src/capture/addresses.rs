//! The addresses of a network namespace: whether a packet begins or ends here, or only passes.

use std::{
    net::{IpAddr, Ipv6Addr},
    os::fd::{AsFd, BorrowedFd},
};

use hashbrown::HashSet;

use crate::netlink::{
    Events, Family, NetlinkError, Request, Socket,
    message::{Message, attributes, u32_at},
};

/// `RTNLGRP_IPV4_IFADDR` (5) and `RTNLGRP_IPV6_IFADDR` (9) of `include/uapi/linux/rtnetlink.h`.
const GROUPS: u32 = 1 << 4 | 1 << 8;
const NEW: u16 = 20;
const DELETE: u16 = 21;
const GET: u16 = 22;
/// `struct ifaddrmsg`.
const HEADER: usize = 8;
/// `IFA_ADDRESS` and `IFA_LOCAL` of `include/uapi/linux/if_addr.h`; the first is the peer's where there are both.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;

/// Room in the kernel for changes.
const EVENTS: usize = 64 << 10;

const ALL: Request<'static> = Request {
    what: "addresses",
    module: "rtnetlink",
    kind: GET,
    body: &[0; HEADER],
};

/// The addresses of one namespace, followed as they change.
#[derive(Debug)]
pub(super) struct Addresses {
    events: Events,
    /// With the index of the device: two may have the same address.
    known: HashSet<(IpAddr, u32)>,
    addresses: HashSet<IpAddr>,
    /// Changes were lost.
    pub(super) is_stale: bool,
}

impl Addresses {
    /// Reads them in the namespace that this thread is in.
    pub(super) fn open(buffer: &mut [u8]) -> Result<Self, NetlinkError> {
        let mut addresses = Self {
            // Before the dump, so that no change falls between.
            events: Events::subscribe(Family::Route, GROUPS, EVENTS, &[])?,
            known: HashSet::new(),
            addresses: HashSet::new(),
            is_stale: false,
        };
        addresses.read(buffer)?;
        Ok(addresses)
    }

    /// Reads them again, in the namespace that this thread is in.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<(), NetlinkError> {
        self.known.clear();
        let known = &mut self.known;
        Socket::open(Family::Route)?.dump(ALL, buffer, |message| {
            known.extend(address(&message));
        })?;
        self.is_stale = false;
        self.count();
        Ok(())
    }

    /// Takes up what has changed.
    pub(super) fn follow(&mut self, buffer: &mut [u8]) {
        let known = &mut self.known;
        let mut changed = false;
        let whole = self.events.drain(buffer, |message| {
            let Some(address) = address(&message) else {
                return;
            };
            changed |= match message.kind {
                NEW => known.insert(address),
                _ => known.remove(&address),
            };
        });
        self.is_stale |= !whole.unwrap_or(false);
        if changed {
            self.count();
        }
    }

    fn count(&mut self) {
        self.addresses = self.known.iter().map(|(address, _)| *address).collect();
    }

    #[cfg(test)]
    pub(super) fn add_for_test(&mut self, address: IpAddr) {
        self.addresses.insert(address);
    }

    /// Whether packets to this address end here.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses.contains(&address)
    }
}

impl AsFd for Addresses {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

fn address(message: &Message<'_>) -> Option<(IpAddr, u32)> {
    if ![NEW, DELETE].contains(&message.kind) {
        return None;
    }
    let device = u32_at(message.body, 4)?;
    let mut found = None;
    for (kind, value) in attributes(message.body.get(HEADER..)?) {
        let address = match (<[u8; 4]>::try_from(value), <[u8; 16]>::try_from(value)) {
            (Ok(v4), _) => IpAddr::from(v4),
            (_, Ok(v6)) => Ipv6Addr::from(v6).to_canonical(),
            _ => continue,
        };
        match kind {
            LOCAL => return Some((address, device)),
            ADDRESS => found = Some((address, device)),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::message::push_attribute;

    fn of(kind: u16, parts: &[(u16, &[u8])]) -> Option<(IpAddr, u32)> {
        let mut body = vec![2, 24, 0, 0];
        body.extend(7_u32.to_ne_bytes());
        for (kind, value) in parts {
            push_attribute(&mut body, *kind, value);
        }
        let (flags, sequence) = (0, 0);
        address(&Message {
            kind,
            flags,
            sequence,
            body: &body,
        })
    }

    #[test]
    fn the_local_end_of_a_point_to_point_link_is_ours_and_not_the_peers() {
        let peer = (ADDRESS, &[10, 0, 0, 2][..]);
        let ours = (LOCAL, &[10, 0, 0, 1][..]);
        let right = Some((IpAddr::from([10, 0, 0, 1]), 7));
        assert_eq!(of(NEW, &[peer, ours]), right);
        assert_eq!(of(DELETE, &[ours, peer]), right);
        assert_eq!(of(NEW, &[peer]), Some((IpAddr::from([10, 0, 0, 2]), 7)));
        assert_eq!(of(3, &[peer]), None);
        assert_eq!(of(NEW, &[(ADDRESS, &[1, 2, 3])]), None);
    }

    #[test]
    fn the_addresses_of_this_namespace_are_those_that_the_kernel_has() {
        let addresses = Addresses::open(&mut crate::netlink::buffer()).unwrap();
        for ours in ["127.0.0.1", "127.0.0.53", "::1"] {
            assert!(addresses.contains(ours.parse().unwrap()), "{ours}");
        }
        assert!(!addresses.contains([192, 0, 2, 1].into()));
        // A socket can be bound to a local address only.
        for address in &addresses.addresses {
            let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
            if !link_local {
                std::net::UdpSocket::bind((*address, 0)).unwrap();
            }
        }
    }
}
