//! UDP sockets and who holds them.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use hashbrown::{HashMap, HashSet};

use super::{FAMILIES, InetSocket, message};
use crate::{
    namespaces::Namespaces,
    netlink::{self, Family, NetlinkError, Request, Socket},
    open_sockets::{Holder, open_sockets},
};

/// `IPPROTO_UDP`.
const UDP: u8 = 17;

/// One UDP socket.
#[derive(Clone, Debug)]
pub struct UdpSocket {
    /// Inode of its network namespace.
    pub netns: u32,
    /// The cookie that `bpf_get_socket_cookie()` and `SO_COOKIE` give too.
    pub cookie: u64,
    /// As bound; an unspecified address if to any. IPv4-mapped IPv6 is IPv4.
    pub local: SocketAddr,
    /// The peer, if connected.
    pub remote: Option<SocketAddr>,
    /// Inode of the socket; 0 if no descriptor refers to it.
    pub inode: u32,
    /// User id of the owner.
    pub uid: u32,
    /// The process that holds it, the one with the lowest id if there are several.
    pub holder: Option<Arc<Holder>>,
}

/// Lists the UDP sockets of every network namespace.
#[derive(Debug)]
pub struct UdpSockets {
    places: HashMap<u32, Socket>,
    /// By inode of the socket; `None` for one that no process was found to hold.
    holders: HashMap<u32, Option<Arc<Holder>>>,
    buffer: Vec<u8>,
}

impl UdpSockets {
    /// Ready to list. Costs one descriptor for each namespace.
    #[must_use]
    pub fn open(namespaces: &Namespaces) -> Self {
        let mut sockets = Self {
            places: HashMap::new(),
            holders: HashMap::new(),
            buffer: netlink::buffer(),
        };
        sockets.follow(namespaces);
        sockets
    }

    /// Takes up new namespaces, and lets go of those that are gone. Call after each refresh. Returns how many
    /// namespaces could not be taken up.
    pub fn follow(&mut self, namespaces: &Namespaces) -> usize {
        self.places.retain(|netns, _| namespaces.contains(*netns));
        let known = &self.places;
        let opened = namespaces.each_of(
            |netns| !known.contains_key(&netns),
            |_| Socket::open(Family::SockDiag),
        );
        let mut refused = 0;
        for (netns, socket) in opened {
            match socket {
                Ok(Ok(socket)) => drop(self.places.insert(netns, socket)),
                _ => refused += 1,
            }
        }
        refused
    }

    /// Calls `each` with every UDP socket that is bound. Scans the descriptors in /proc once if there is a socket that
    /// the calls before did not see.
    ///
    /// # Errors
    /// The first namespace whose sockets could not be listed, which is given up until it is found anew; the others
    /// are complete.
    pub fn list(&mut self, mut each: impl FnMut(&UdpSocket)) -> Result<(), NetlinkError> {
        let mut found = Vec::new();
        let mut result = Ok(());
        let buffer = &mut self.buffer;
        self.places.retain(|netns, place| {
            for family in FAMILIES {
                let body = message::request_all(family, UDP, u32::MAX);
                let request = Request {
                    what: "UDP sockets",
                    module: "udp_diag",
                    kind: message::BY_FAMILY,
                    body: &body,
                };
                let done = place.dump(request, buffer, |message| {
                    if let Some(socket) = InetSocket::parse(message.body) {
                        found.push(udp_socket(*netns, &socket));
                    }
                });
                if let Err(error) = done {
                    if result.is_ok() {
                        result = Err(error);
                    }
                    return false;
                }
            }
            true
        });
        self.search_holders(&found);
        for mut socket in found {
            socket.holder = self.holders.get(&socket.inode).cloned().flatten();
            each(&socket);
        }
        result
    }

    fn search_holders(&mut self, found: &[UdpSocket]) {
        let inodes: HashSet<u32> = found.iter().map(|socket| socket.inode).collect();
        self.holders.retain(|inode, _| inodes.contains(inode));
        let holders = &mut self.holders;
        let wanted: HashSet<u32> = inodes
            .into_iter()
            .filter(|inode| *inode != 0 && !holders.contains_key(inode))
            .collect();
        if wanted.is_empty() {
            return;
        }
        open_sockets(
            |inode| wanted.contains(&inode),
            |inode, holder| {
                holders
                    .entry(inode)
                    .or_insert_with(|| Some(Arc::new(*holder)));
            },
        );
        for inode in wanted {
            holders.entry(inode).or_insert(None);
        }
    }
}

fn udp_socket(netns: u32, socket: &InetSocket) -> UdpSocket {
    let ends = &socket.ends;
    UdpSocket {
        netns,
        cookie: socket.cookie,
        local: SocketAddr::new(address(ends.family, ends.local), ends.local_port),
        remote: (ends.remote_port != 0)
            .then(|| SocketAddr::new(address(ends.family, ends.remote), ends.remote_port)),
        inode: socket.inode,
        uid: socket.uid,
        holder: None,
    }
}

fn address(family: u8, words: [u32; 4]) -> IpAddr {
    let [a, b, c, d] = words.map(u32::to_ne_bytes);
    if i32::from(family) == libc::AF_INET6 {
        let mut octets = [0; 16];
        for (to, from) in octets.iter_mut().zip([a, b, c, d].iter().flatten()) {
            *to = *from;
        }
        Ipv6Addr::from(octets).to_canonical()
    } else {
        IpAddr::from(a)
    }
}
