//! Translations by the addresses that a socket sees.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hashbrown::HashMap;

use super::message::{DESTINATION_TRANSLATED, Entry, SOURCE_TRANSLATED, Tuple};

/// A socket's own view of its connection: protocol, local and remote end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct View {
    local: Ipv6Addr,
    remote: Ipv6Addr,
    ports: (u16, u16),
    protocol: u8,
}

/// The real peer behind the remote end of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    address: Ipv6Addr,
    port: u16,
    netns: u32,
    /// Dump or event that last said so.
    round: u32,
}

/// Bounded; about 150 bytes for each view.
#[derive(Debug)]
pub(super) struct Table {
    first: HashMap<View, Peer>,
    /// The same view in further namespaces; rare.
    others: HashMap<View, Vec<Peer>>,
    others_len: usize,
    most: usize,
    round: u32,
    /// Views for which there was no room.
    pub(super) full: u64,
}

impl Table {
    pub(super) fn new(most: usize) -> Self {
        Self {
            first: HashMap::new(),
            others: HashMap::new(),
            others_len: 0,
            most,
            round: 0,
            full: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.first.len() + self.others_len
    }

    /// Takes a tracked connection of `netns`.
    pub(super) fn insert(&mut self, netns: u32, entry: &Entry) {
        let round = self.round;
        for (view, address, port) in views(entry) {
            let peer = Peer {
                address,
                port,
                netns,
                round,
            };
            self.insert_view(view, peer);
        }
    }

    fn insert_view(&mut self, view: View, peer: Peer) {
        let room = self.len() < self.most;
        match self.first.get_mut(&view) {
            Some(known) if known.netns == peer.netns => *known = peer,
            Some(_) => {
                let others = self.others.get_mut(&view);
                let known =
                    others.and_then(|others| others.iter_mut().find(|one| one.netns == peer.netns));
                if let Some(known) = known {
                    *known = peer;
                } else if room {
                    self.others.entry(view).or_default().push(peer);
                    self.others_len += 1;
                } else {
                    self.full += 1;
                }
            }
            None if room => drop(self.first.insert(view, peer)),
            None => self.full += 1,
        }
    }

    /// Forgets a tracked connection of `netns` that has ended.
    pub(super) fn remove(&mut self, netns: u32, entry: &Entry) {
        for (view, ..) in views(entry) {
            if self.first.get(&view).is_some_and(|one| one.netns == netns) {
                self.first.remove(&view);
                self.promote(&view);
            } else if let Some(others) = self.others.get_mut(&view) {
                let before = others.len();
                others.retain(|one| one.netns != netns);
                self.others_len -= before - others.len();
                if others.is_empty() {
                    self.others.remove(&view);
                }
            }
        }
    }

    /// Moves a further namespace's peer to the first place.
    fn promote(&mut self, view: &View) {
        let Some(others) = self.others.get_mut(view) else {
            return;
        };
        if let Some(next) = others.pop() {
            self.first.insert(*view, next);
            self.others_len -= 1;
        }
        if others.is_empty() {
            self.others.remove(view);
        }
    }

    /// Call before a dump; what is inserted from now on is what there is.
    pub(super) fn begin_dump(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// Call after a whole dump of `netns`: forgets what was not in it.
    pub(super) fn end_dump(&mut self, netns: u32) {
        let round = self.round;
        self.retain(|peer| peer.netns != netns || peer.round == round);
    }

    /// Forgets everything of a namespace that is gone.
    pub(super) fn forget(&mut self, netns: u32) {
        self.retain(|peer| peer.netns != netns);
    }

    fn retain(&mut self, keep: impl Fn(&Peer) -> bool) {
        self.others.retain(|_, others| {
            others.retain(&keep);
            !others.is_empty()
        });
        self.others_len = self.others.values().map(Vec::len).sum();
        self.first.retain(|_, peer| keep(peer));
        let left: Vec<View> = self
            .others
            .keys()
            .filter(|view| !self.first.contains_key(*view))
            .copied()
            .collect();
        for view in left {
            self.promote(&view);
        }
        self.first.shrink_to(self.first.len() * 4);
    }

    /// The real peer of a socket that sees `local` and `remote`; a translation in the namespace `netns`, its own,
    /// counts first.
    pub(super) fn peer(
        &self,
        protocol: u8,
        local: SocketAddr,
        remote: SocketAddr,
        netns: u32,
    ) -> Option<SocketAddr> {
        let view = View::new(protocol, local, remote);
        let first = self.first.get(&view)?;
        let own = (first.netns != netns)
            .then(|| {
                self.others
                    .get(&view)?
                    .iter()
                    .find(|one| one.netns == netns)
            })
            .flatten();
        let peer = own.unwrap_or(first);
        Some(SocketAddr::new(peer.address.to_canonical(), peer.port))
    }
}

impl View {
    fn new(protocol: u8, local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            local: wide(local.ip()),
            remote: wide(remote.ip()),
            ports: (local.port(), remote.port()),
            protocol,
        }
    }
}

fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The views from which the connection has another peer than it seems, with that peer. The client sends to the original
/// destination, while the answers come from the real one. The server answers to the reply's destination,
/// while the packets come from the original source.
fn views(entry: &Entry) -> impl Iterator<Item = (View, Ipv6Addr, u16)> {
    let of = |tuple: &Tuple, real: SocketAddr| {
        (tuple.destination != real).then(|| {
            (
                View::new(tuple.protocol, tuple.source, tuple.destination),
                wide(real.ip()),
                real.port(),
            )
        })
    };
    let client = (entry.status & DESTINATION_TRANSLATED != 0)
        .then(|| of(&entry.original, entry.reply.source))
        .flatten();
    let server = (entry.status & SOURCE_TRANSLATED != 0)
        .then(|| of(&entry.reply, entry.original.source))
        .flatten();
    client.into_iter().chain(server)
}

#[cfg(test)]
mod tests;
