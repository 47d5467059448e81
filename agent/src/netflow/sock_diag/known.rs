//! What is remembered of each socket between passes: who holds it, which end opened it, what was seen of its end.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use weir_ebpf_common::netflow::{TcpRecord, direction, kind, owner, state};

use super::{
    ending::Seen,
    message::{Ends, InetSocket},
    record::{facts, own, record, without_counters},
};
use crate::open_sockets::{Holder, open_sockets};

/// Records that wait for a scan of the descriptors: about 11 MB for the length of a pass.
const MOST_WAITING: usize = 65_536;

/// Network namespace and cookie: before Linux 5.11 each namespace counts its own cookies.
pub(super) type Key = (u32, u64);

/// One established connection.
#[derive(Debug)]
struct Known {
    ends: Ends,
    inode: u32,
    holder: Option<Arc<Holder>>,
    seen: Seen,
    /// Pass in which it was last found.
    pass: u32,
    adopted: bool,
    /// Its inode was looked for among the descriptors.
    searched: bool,
}

#[derive(Debug)]
struct Listener {
    inode: u32,
    holder: Option<Arc<Holder>>,
    pass: u32,
    searched: bool,
}

/// All sockets of all namespaces.
pub(super) struct Table {
    connections: HashMap<Key, Known>,
    /// By network namespace and port.
    listeners: HashMap<(u32, u16), Listener>,
    waiting: Vec<TcpRecord>,
    most: usize,
    pass: u32,
    /// Connections seen without room to remember them, once for each pass.
    pub(super) full: u64,
}

/// What is known of a connection that has ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    pub(super) ends: Ends,
    pub(super) holder: Option<Arc<Holder>>,
    pub(super) seen: Seen,
    pub(super) adopted: bool,
}

impl Table {
    pub(super) fn new(most: usize) -> Self {
        Self {
            connections: HashMap::new(),
            listeners: HashMap::new(),
            waiting: Vec::new(),
            most,
            pass: 0,
            full: 0,
        }
    }

    pub(super) fn limit(&mut self, most: usize) {
        self.most = most;
    }

    pub(super) fn begin_pass(&mut self) {
        self.pass = self.pass.wrapping_add(1);
    }

    /// One socket that a pass found.
    pub(super) fn found(
        &mut self,
        netns: u32,
        socket: &InetSocket,
        kind: u8,
        each: &mut impl FnMut(&TcpRecord),
    ) {
        if u32::from(socket.state) == state::LISTEN {
            self.listening(netns, socket);
            each(&record(
                kind::LISTENING,
                netns,
                socket,
                facts(socket.cookie, direction::UNKNOWN, None, false),
                u32::from(socket.state),
                false,
            ));
            return;
        }
        let listening = self.is_listening(netns, socket.ends.local_port);
        let key = (netns, socket.cookie);
        let fin = socket.has_fin();
        let room = self.connections.len() < self.most;
        if !room && !self.connections.contains_key(&key) {
            self.full += 1;
            let direction = socket.direction(listening).unwrap_or(direction::UNKNOWN);
            let facts = facts(socket.cookie, direction, None, kind == kind::ADOPTED);
            each(&record(
                kind,
                netns,
                socket,
                facts,
                u32::from(socket.state),
                fin,
            ));
            return;
        }
        let is_new = !self.connections.contains_key(&key);
        let known = self.connections.entry(key).or_insert_with(|| Known {
            ends: socket.ends,
            inode: 0,
            holder: None,
            seen: Seen::default(),
            pass: self.pass,
            adopted: kind == kind::ADOPTED,
            searched: false,
        });
        // The kernel's walk gives a socket twice when the table changes under it.
        if !is_new && known.pass == self.pass {
            return;
        }
        known.pass = self.pass;
        known.note(socket, listening);
        let facts = facts(
            socket.cookie,
            known.seen.direction,
            known.holder.as_deref(),
            known.adopted,
        );
        let record = record(kind, netns, socket, facts, u32::from(socket.state), fin);
        let search = known.holder.is_none() && known.inode != 0 && !known.searched;
        if search && self.waiting.len() < MOST_WAITING {
            self.waiting.push(record);
        } else {
            each(&record);
        }
    }

    fn listening(&mut self, netns: u32, socket: &InetSocket) {
        let key = (netns, socket.ends.local_port);
        let room = self.listeners.len() < self.most;
        if !room && !self.listeners.contains_key(&key) {
            self.full += 1;
            return;
        }
        let listener = self.listeners.entry(key).or_insert(Listener {
            inode: socket.inode,
            holder: None,
            pass: self.pass,
            searched: false,
        });
        listener.pass = self.pass;
        if listener.inode != socket.inode {
            *listener = Listener {
                inode: socket.inode,
                holder: None,
                pass: self.pass,
                searched: false,
            };
        }
    }

    pub(super) fn is_listening(&self, netns: u32, port: u16) -> bool {
        self.listeners.contains_key(&(netns, port))
    }

    /// The process that listens at a port.
    pub(super) fn listener(&self, netns: u32, port: u16) -> Option<Arc<Holder>> {
        self.listeners.get(&(netns, port))?.holder.clone()
    }

    /// Call after the walk: finds the owners of what waits for one, with at most one scan of the descriptors, and gives
    /// it to `each`. Then gives to `each` the connections that the walk did not find although the kernel has not
    /// reported their end: their application has not closed them yet. `complete` tells for which namespaces the walk and
    /// the reports are without gaps; in the others nothing is concluded from what is missing.
    pub(super) fn end_pass(
        &mut self,
        complete: impl Fn(u32) -> Complete,
        each: &mut impl FnMut(&TcpRecord),
    ) {
        self.search_owners();
        for mut record in std::mem::take(&mut self.waiting) {
            let key = (record.netns, record.facts.established_ns);
            if let Some(holder) = self
                .connections
                .get(&key)
                .and_then(|known| known.holder.as_deref())
            {
                own(&mut record.facts, Some(holder), owner::HOLDER);
            }
            each(&record);
        }
        let pass = self.pass;
        self.listeners.retain(|(netns, _), listener| {
            // One that has just closed still explains the connections that it accepted.
            pass.wrapping_sub(listener.pass) < 2 || complete(*netns) == Complete::Unknown
        });
        self.connections
            .retain(|(netns, cookie), known| match complete(*netns) {
                Complete::Gone => false,
                _ if known.pass == pass => true,
                Complete::Lossy => false,
                Complete::Unknown => true,
                Complete::Whole => {
                    each(&known.unchanged(*netns, *cookie));
                    true
                }
            });
        self.connections.shrink_to(self.connections.len() * 4);
    }

    fn search_owners(&mut self) {
        let unknown_connections = self
            .connections
            .values()
            .filter(|known| known.holder.is_none() && known.inode != 0 && !known.searched)
            .map(|known| known.inode);
        let unknown_listeners = self
            .listeners
            .values()
            .filter(|listener| listener.holder.is_none() && !listener.searched)
            .map(|listener| listener.inode);
        let wanted: HashSet<u32> = unknown_connections.chain(unknown_listeners).collect();
        if wanted.is_empty() {
            return;
        }
        let mut holders: HashMap<u32, Arc<Holder>> = HashMap::new();
        let mut last: Option<Arc<Holder>> = None;
        open_sockets(
            |inode| wanted.contains(&inode),
            |inode, holder| {
                // One allocation for each process, and the first process that holds a socket has it.
                let shared = match &last {
                    Some(last) if **last == *holder => Arc::clone(last),
                    _ => Arc::new(*holder),
                };
                last = Some(Arc::clone(&shared));
                holders.entry(inode).or_insert(shared);
            },
        );
        for known in self.connections.values_mut() {
            if known.holder.is_none() && known.inode != 0 && !known.searched {
                known.searched = true;
                known.holder = holders.get(&known.inode).cloned();
            }
        }
        for listener in self.listeners.values_mut() {
            if listener.holder.is_none() && !listener.searched {
                listener.searched = true;
                listener.holder = holders.get(&listener.inode).cloned();
            }
        }
    }

    /// Forgets a connection that has ended, and returns what was known of it.
    pub(super) fn ended(&mut self, key: Key) -> Option<Remembered> {
        let known = self.connections.remove(&key)?;
        Some(Remembered {
            ends: known.ends,
            holder: known.holder,
            seen: known.seen,
            adopted: known.adopted,
        })
    }

    /// What passes saw of a connection that has ended.
    pub(super) fn seen(&self, key: Key) -> Seen {
        self.connections
            .get(&key)
            .map_or(Seen::default(), |known| known.seen)
    }

    pub(super) fn is_known(&self, key: Key) -> bool {
        self.connections.contains_key(&key)
    }

    /// Connections that are remembered.
    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }
}

/// What can be concluded from a connection that a pass did not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Complete {
    /// The walk was whole and every end was reported: the connection is over but its socket is still open.
    Whole,
    /// Reports of ends were lost: it may be over, unreported.
    Lossy,
    /// The walk failed: nothing.
    Unknown,
    /// The namespace is gone.
    Gone,
}

impl Known {
    fn note(&mut self, socket: &InetSocket, listening: bool) {
        // A passed-on socket keeps its inode; a reused cookie does not exist.
        if self.inode == 0 {
            self.inode = socket.inode;
        }
        if self.seen.direction == direction::UNKNOWN
            && let Some(direction) = socket.direction(listening)
        {
            self.seen.direction = direction;
        }
        self.seen.fin |= socket.has_fin();
        self.seen.half_closed |= socket.inode != 0
            && matches!(u32::from(socket.state), state::FIN_WAIT1 | state::FIN_WAIT2);
    }

    /// A record that adds nothing and only says that the connection is still there.
    fn unchanged(&self, netns: u32, cookie: u64) -> TcpRecord {
        let facts = facts(
            cookie,
            self.seen.direction,
            self.holder.as_deref(),
            self.adopted,
        );
        without_counters(kind::LIVE, netns, &self.ends, facts, state::CLOSE)
    }
}
