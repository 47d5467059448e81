//! TCP without any eBPF: dumps of sock_diag for the live connections, its destroy messages for the ended ones.
//!
//! Gives the same [`TcpRecord`]s as the kernel side of eBPF, with these differences:
//!
//! - `facts.established_ns` is the socket's cookie: no time is known, and the cookie distinguishes the connection from
//!   every other as well. `facts.connect_ns` is 0: there is no connect latency.
//! - The direction is a fact where the counters show the SYN of a `connect()` (see [`InetSocket`]), which is nearly
//!   always; else `UNKNOWN`.
//! - The owner is the process that holds the socket when a pass first finds it; an accepted connection that no pass
//!   found has its listener, a connecting one that no pass found has none.
//! - `error` is only ETIMEDOUT, supposed from unanswered timeouts; a RST is recognised by the FIN that was not acknowledged.
//! - `bytes_received` of an ended connection may be one byte too many in a case that `ending` names.
//!
//! Not seen: connects that fail, with few exceptions (the kernel forgets the address before it reports the
//! socket); what a connection that ends with `SO_LINGER` of 0, or a second `connect()`, moved since the last pass;
//! a connection of a namespace that came and went between two calls of [`SockDiag::follow`]; the last moments
//! of a namespace, and what the kernel had no room to report. The last four are counted in [`Tally`] where the kernel says so.
//!
//! Costs about 1 µs for each live socket and pass, 0.3 ms for each namespace that has TCP sockets, one netlink message for
//! each socket that is closed anywhere, and four descriptors for each namespace.

mod ending;
mod known;
mod message;
mod places;
mod record;
mod report;
mod udp;

use std::os::fd::{AsFd, BorrowedFd};

use weir_ebpf_common::netflow::{TcpRecord, kind, state};

use self::{
    ending::{LeftBehind, needs_look, was_established},
    known::Table,
    message::request_all,
    places::{Place, Places},
    report::{close, forgotten, look_behind},
};
pub use self::{
    message::{Ends, InetSocket, TcpInfo, parse},
    udp::{UdpSocket, UdpSockets},
};
use crate::{
    namespaces::Namespaces,
    netlink::{self, MOST_REQUESTS, NetlinkError, Request},
};

/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// Address families to ask for.
const FAMILIES: [u8; 2] = [libc::AF_INET as u8, libc::AF_INET6 as u8];
/// Connections that are or were established, and listeners.
const STATES: u32 = 1 << state::ESTABLISHED
    | 1 << state::FIN_WAIT1
    | 1 << state::FIN_WAIT2
    | 1 << state::CLOSE_WAIT
    | 1 << state::LAST_ACK
    | 1 << state::CLOSING
    | 1 << state::LISTEN;

/// `error` of a record whose errno is not known: the reason of a failure is then `other`.
pub const UNKNOWN_ERROR: u16 = u16::MAX;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Connections, over all namespaces, whose owner and direction are remembered: about 100 bytes each.
    pub connections: usize,
    /// Room in the kernel for messages of one namespace that are not read yet, in bytes; about 1300 for each. Without
    /// CAP_NET_ADMIN no more than `net.core.rmem_max`.
    pub events: usize,
}

/// What was lost, by cause; each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Ends that the kernel had no room to report.
    pub events_lost: u64,
    /// Connections without room to remember their owner, once for each pass.
    pub table_full: u64,
    /// Connections older than the agent that ended before the first pass had found them.
    pub unknown_connection: u64,
    /// Established connections whose last numbers the kernel had forgotten when it reported their end.
    pub numbers_forgotten: u64,
    /// Connects that failed and whose address the kernel had forgotten.
    pub failures_forgotten: u64,
    /// Namespaces, counted once for each refresh, that could not be observed.
    pub namespaces_refused: u64,
}

/// Observes TCP by sock_diag in every network namespace.
pub struct SockDiag {
    places: Places,
    table: Table,
    buffer: Vec<u8>,
    batch: Vec<InetSocket>,
    tally: Tally,
    /// What ends now and is not known is older than the agent.
    adopting: bool,
}

impl SockDiag {
    /// Begins to listen for ends in every namespace. Call [`SockDiag::adopt`] next.
    ///
    /// # Errors
    /// If it does not work in the own namespace: the kernel does not offer it, or forbids it.
    pub fn open(namespaces: &Namespaces, settings: Settings) -> Result<Self, NetlinkError> {
        let mut sock_diag = Self {
            places: Places::new(settings.events)?,
            table: Table::new(settings.connections),
            buffer: netlink::buffer(),
            batch: Vec::new(),
            tally: Tally::default(),
            adopting: false,
        };
        sock_diag.places.open_own(namespaces.own())?;
        // That the messages come does not say that questions are answered: tcp_diag may be missing.
        let own = sock_diag.places.get_mut(namespaces.own());
        if let Some(own) = own {
            let body = request_all(FAMILIES[0], TCP, 1 << state::LISTEN);
            own.questions
                .dump(tcp_sockets(&body), &mut sock_diag.buffer, |_| {})?;
        }
        sock_diag.follow(namespaces);
        Ok(sock_diag)
    }

    /// From now on remembers the owners of so many connections.
    pub fn limit(&mut self, connections: usize) {
        self.table.limit(connections);
    }

    /// Begins to observe new namespaces, and lets go of those that are gone. Call after each refresh.
    pub fn follow(&mut self, namespaces: &Namespaces) {
        let refused = self.places.follow(namespaces);
        self.tally.namespaces_refused += refused;
    }

    /// First pass: every connection is older than the agent. Ends that were reported before are of connections that
    /// nobody knows, and are counted.
    ///
    /// # Errors
    /// The first namespace in which the pass failed; the others are complete.
    pub fn adopt(&mut self, mut each: impl FnMut(&TcpRecord)) -> Result<(), NetlinkError> {
        let adopted = self.pass(kind::ADOPTED, &mut each);
        self.adopting = true;
        let ended = self
            .places
            .all()
            .into_iter()
            .map(|netns| self.ended_in(netns, &mut each))
            .fold(Ok(()), Result::and);
        self.adopting = false;
        adopted.and(ended)
    }

    /// A record of kind LIVE for every live connection, and LISTENING for every listener. First reads what has ended, so
    /// that the kernel's reports and the pass agree.
    ///
    /// # Errors
    /// The first namespace in which the pass failed; the others are complete.
    pub fn live(&mut self, mut each: impl FnMut(&TcpRecord)) -> Result<(), NetlinkError> {
        self.ended(&mut each)?;
        self.pass(kind::LIVE, &mut each)
    }

    fn pass(&mut self, kind: u8, each: &mut impl FnMut(&TcpRecord)) -> Result<(), NetlinkError> {
        self.table.begin_pass();
        let (table, buffer) = (&mut self.table, &mut self.buffer);
        let mut result = Ok(());
        self.places.each(|netns, place| {
            let done = walk(place, buffer, |socket| {
                table.found(netns, socket, kind, each)
            });
            place.walked = done.is_ok();
            if let Err(error) = done
                && result.is_ok()
            {
                result = Err(error);
            }
        });
        let places = &self.places;
        self.table.end_pass(|netns| places.complete(netns), each);
        self.tally.table_full = self.table.full;
        self.places.end_pass();
        result
    }

    /// A record of kind CLOSED, or FAILED, for every connection that has ended since the last call.
    ///
    /// # Errors
    /// The first namespace whose reports cannot be read; the others are complete.
    pub fn ended(&mut self, mut each: impl FnMut(&TcpRecord)) -> Result<(), NetlinkError> {
        let mut result = Ok(());
        for netns in self.places.ready() {
            let done = self.ended_in(netns, &mut each);
            result = result.and(done);
        }
        self.tally.events_lost = self.places.lost();
        result
    }

    fn ended_in(
        &mut self,
        netns: u32,
        each: &mut impl FnMut(&TcpRecord),
    ) -> Result<(), NetlinkError> {
        let Some(place) = self.places.get_mut(netns) else {
            return Ok(());
        };
        let mut batch = std::mem::take(&mut self.batch);
        let (table, tally, adopting) = (&mut self.table, &mut self.tally, self.adopting);
        let drained = place.drain(&mut self.buffer, |socket| {
            let key = (netns, socket.cookie);
            let listening = table.is_listening(netns, socket.ends.local_port);
            if socket.ends.remote_port == 0 {
                forgotten(table, tally, netns, socket, each);
            } else if adopting && !table.is_known(key) {
                tally.unknown_connection +=
                    u64::from(socket.info.as_ref().is_some_and(was_established));
            } else if needs_look(socket, table.seen(key), listening) {
                batch.push(*socket);
            } else {
                close(table, netns, socket, LeftBehind::Nothing, each);
            }
        });
        for chunk in batch.chunks(MOST_REQUESTS) {
            let mut left = [LeftBehind::Nothing; MOST_REQUESTS];
            let asked = look_behind(place, &mut self.buffer, chunk, &mut left);
            if let Err(error) = asked {
                // Without an answer each is taken to have closed second, as most do that ask for no TIME_WAIT.
                tracing::debug!(
                    error = crate::error_chain(&error),
                    netns,
                    "look at TIME_WAIT failed"
                );
            }
            for (socket, left) in chunk.iter().zip(left) {
                close(&mut self.table, netns, socket, left, each);
            }
        }
        batch.clear();
        batch.shrink_to(4 * MOST_REQUESTS);
        self.batch = batch;
        drained
    }

    /// Connections that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no connection is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Namespaces that are observed.
    #[must_use]
    pub fn namespaces(&self) -> usize {
        self.places.len()
    }

    /// Ends of one namespace that the kernel had no room to report.
    #[must_use]
    pub fn events_lost_in(&self, netns: u32) -> u64 {
        self.places.lost_in(netns)
    }

    /// What was lost.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

/// Readable when some connection has ended.
impl AsFd for SockDiag {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.places.as_fd()
    }
}

fn tcp_sockets(body: &[u8]) -> Request<'_> {
    Request {
        what: "TCP sockets",
        module: "tcp_diag",
        kind: message::BY_FAMILY,
        body,
    }
}

/// All TCP sockets of one namespace; the listeners of a family come before its connections.
fn walk(
    place: &mut Place,
    buffer: &mut [u8],
    mut each: impl FnMut(&InetSocket),
) -> Result<(), NetlinkError> {
    for family in FAMILIES {
        if !place.has_sockets(family) {
            continue;
        }
        let body = request_all(family, TCP, STATES);
        // An interrupted walk gives a socket twice at worst, which the table notices, or not at all, which the next
        // one makes up for.
        place
            .questions
            .dump(tcp_sockets(&body), buffer, |message| {
                if let Some(socket) = InetSocket::parse(message.body)
                    && !socket.is_time_wait()
                    && (socket.info.is_some() || u32::from(socket.state) == state::LISTEN)
                {
                    each(&socket);
                }
            })?;
    }
    Ok(())
}
