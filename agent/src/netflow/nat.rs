//! The real peer behind a translated address, from the kernel's connection tracking.
//!
//! A client of a service address, a container behind a masqueraded host, a server behind either: each socket sees an
//! address that is not its peer's. The namespace that translates knows both; its table is read once, then followed
//! by events.
//!
//! The kernel builds an event for every tracked connection of a namespace in which somebody listens, translated or not.
//! So we listen only where something translates (a NAT chain of nftables, a `nat` table of iptables, or a translated
//! connection), only to beginnings and ends, and with a filter in the kernel that throws away at once what is not
//! translated.
//!
//! Connections that were tracked before we listened have no event of their end (`net.netfilter.nf_conntrack_events` of
//! 2, the default since Linux 5.19, allocates for events only while somebody listens). The table is therefore
//! read again every minute, and after every loss.
//!
//! Not seen: translation that connection tracking does not do (IPVS without conntrack, eBPF load balancers), and
//! a chain of several translations is not followed further than one.

mod message;
mod table;

use std::{
    fs,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use weir_proto::flow::v1::Transport;

pub use self::message::{Entry, Tuple, is_nat_chain, parse};
use self::{
    message::{
        CHAINS, DELETE, DESTINATION_TRANSLATED, NEW, SOURCE_TRANSLATED, connections,
        connections_with, translated_only,
    },
    table::Table,
};
use crate::{
    namespaces::Namespaces,
    netlink::{self, Dumped, Events, Family, NetlinkError, Ready, Socket, count_losses},
};

/// `NFNLGRP_CONNTRACK_NEW` (1) and `NFNLGRP_CONNTRACK_DESTROY` (3) of `include/uapi/linux/netfilter/nfnetlink.h`.
const GROUPS: u32 = 0b101;

/// How old the table may be where not every end has an event.
const DUMP_EVERY: Duration = Duration::from_secs(60);

/// How many calls of [`Translations::follow`] there are between two looks at what costs more than it is likely to show:
/// the rules of a namespace that tracks no connection, and the connections of one that has no rule.
const SEARCH_EVERY: u32 = 6;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Translated ends of connections: about 150 bytes each.
    pub entries: usize,
    /// Room in the kernel for events of one namespace that are not read yet, in bytes; about 1300 for each.
    pub events: usize,
}

/// What was lost, by cause; each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Translations for which the table had no room.
    pub nat_table_full: u64,
    /// Events that the kernel had no room for. The table is read anew after each loss.
    pub nat_events_lost: u64,
    /// Namespaces, counted once for each refresh, whose connection tracking could not be read.
    pub namespaces_refused: u64,
}

/// A namespace in which something translates.
#[derive(Debug)]
struct Place {
    questions: Socket,
    events: Events,
    /// When its table was last read; `None` if that is due.
    dumped: Option<Instant>,
    failed: bool,
}

/// The translated connections of every network namespace.
#[derive(Debug)]
pub struct Translations {
    places: HashMap<u32, Place>,
    ready: Ready,
    table: Table,
    buffer: Vec<u8>,
    settings: Settings,
    /// Calls of `follow`.
    follows: u32,
    lost_before: u64,
    tally: Tally,
}

impl Translations {
    /// Reads what is translated now, and follows it.
    ///
    /// # Errors
    /// Only if the system has no descriptor left. A namespace that cannot be read is counted: where nothing tracks
    /// connections there is nothing to read.
    pub fn open(namespaces: &Namespaces, settings: Settings) -> Result<Self, NetlinkError> {
        let mut translations = Self {
            places: HashMap::new(),
            ready: Ready::new()?,
            table: Table::new(settings.entries),
            buffer: netlink::buffer(),
            settings,
            follows: 0,
            lost_before: 0,
            tally: Tally::default(),
        };
        translations.follow(namespaces);
        Ok(translations)
    }

    /// Takes up namespaces in which something translates now, lets go of those that are gone, and reads again the tables
    /// that need it. Call after each refresh, once a period.
    ///
    /// Costs, for each namespace in which nothing translates, entering it and reading one file.
    pub fn follow(&mut self, namespaces: &Namespaces) {
        let subscriptions = self.places.iter_mut();
        count_losses(
            namespaces,
            subscriptions.map(|(netns, place)| (*netns, &mut place.events)),
        );
        let (table, lost_before) = (&mut self.table, &mut self.lost_before);
        self.places.retain(|netns, place| {
            let keep = namespaces.contains(*netns) && !place.failed;
            if !keep {
                *lost_before += place.events.lost();
                table.forget(*netns);
            }
            keep
        });
        self.take_up(namespaces);
        self.follows = self.follows.wrapping_add(1);
        self.drain();
        self.dump_what_is_due();
        let lost: u64 = self.places.values().map(|place| place.events.lost()).sum();
        self.tally.nat_events_lost = lost + self.lost_before;
        self.tally.nat_table_full = self.table.full;
    }

    fn take_up(&mut self, namespaces: &Namespaces) {
        let search = self.follows.is_multiple_of(SEARCH_EVERY);
        let (known, events, buffer) = (&self.places, self.settings.events, &mut self.buffer);
        let found = namespaces.each_of(
            |netns| !known.contains_key(&netns),
            |_| open_if_translating(search, events, buffer),
        );
        for (netns, place) in found {
            let place = match place {
                Ok(Ok(None)) => continue,
                Ok(Ok(Some(place))) => self.ready.add(netns, &place.events).map(|()| place),
                Ok(Err(error)) => Err(error),
                Err(error) => {
                    tracing::debug!(error = crate::error_chain(&error), netns, "not entered");
                    self.tally.namespaces_refused += 1;
                    continue;
                }
            };
            match place {
                Ok(place) => drop(self.places.insert(netns, place)),
                Err(error) => {
                    let error = crate::error_chain(&error);
                    tracing::debug!(error, netns, "connection tracking is not read");
                    self.tally.namespaces_refused += 1;
                }
            }
        }
    }

    fn dump_what_is_due(&mut self) {
        for (netns, place) in &mut self.places {
            let due = place.dumped.is_none_or(|when| when.elapsed() >= DUMP_EVERY);
            if !due {
                continue;
            }
            self.table.begin_dump();
            let table = &mut self.table;
            let dumped = dump(&mut place.questions, &mut self.buffer, |entry| {
                table.insert(*netns, entry);
            });
            match dumped {
                Ok(Dumped::Whole) => {
                    self.table.end_dump(*netns);
                    place.dumped = Some(Instant::now());
                }
                // What came is right; what ended is found next time.
                Ok(Dumped::Interrupted) => {}
                Err(error) => {
                    place.failed = true;
                    let error = crate::error_chain(&error);
                    tracing::debug!(error, netns, "connection tracking is not read");
                }
            }
        }
    }

    /// Takes up the events that have come; does not wait. Call before connections are looked up: the event of a
    /// connection's beginning comes before anything else that the connection does.
    pub fn drain(&mut self) {
        for netns in self.ready.now() {
            let Some(place) = self.places.get_mut(&netns) else {
                continue;
            };
            let table = &mut self.table;
            let whole = place.events.drain(&mut self.buffer, |message| {
                let Some(entry) = Entry::parse(message.body).filter(Entry::is_translated) else {
                    return;
                };
                match message.kind {
                    NEW => table.insert(netns, &entry),
                    DELETE => table.remove(netns, &entry),
                    _ => {}
                }
            });
            match whole {
                Ok(true) => {}
                Ok(false) => place.dumped = None,
                Err(_) => place.failed = true,
            }
        }
    }

    /// The real peer of a socket of the namespace `netns` that sees `local` and `remote`, if that is another than
    /// `remote`. A translation in the socket's own namespace counts before one in any other.
    #[must_use]
    pub fn peer(
        &self,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
        netns: u32,
    ) -> Option<SocketAddr> {
        let protocol = match transport {
            Transport::Tcp => libc::IPPROTO_TCP,
            Transport::Udp => libc::IPPROTO_UDP,
            Transport::Unspecified => return None,
        };
        self.table.peer(protocol as u8, local, remote, netns)
    }

    /// Translated ends of connections that are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nothing is translated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the events of a namespace are followed: whether something translates there.
    #[must_use]
    pub fn follows(&self, netns: u32) -> bool {
        self.places.contains_key(&netns)
    }

    /// What was lost.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

/// Readable when there are events.
impl AsFd for Translations {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

/// In the namespace of this thread: subscribes if something translates. The subscription is made before the table is read,
/// so that nothing falls between.
fn open_if_translating(
    search: bool,
    events: usize,
    buffer: &mut [u8],
) -> Result<Option<Place>, NetlinkError> {
    // Without the file no connection is tracked anywhere, and asking would load the module.
    let Ok(tracked) = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count") else {
        return Ok(None);
    };
    let tracks = tracked.trim() != "0";
    if !tracks && !search {
        return Ok(None);
    }
    let mut questions = Socket::open(Family::Netfilter)?;
    let translates = iptables_translate()
        || nftables_translate(buffer)
        || search && tracks && some_connection_is_translated(&mut questions, buffer)?;
    if !translates {
        return Ok(None);
    }
    Ok(Some(Place {
        questions,
        events: Events::subscribe(Family::Netfilter, GROUPS, events, &translated_only())?,
        dumped: None,
        failed: false,
    }))
}

/// iptables makes the table `nat` when a rule needs it.
fn iptables_translate() -> bool {
    ["ip_tables_names", "ip6_tables_names"].iter().any(|file| {
        fs::read_to_string(format!("/proc/thread-self/net/{file}"))
            .is_ok_and(|names| names.lines().any(|name| name == "nat"))
    })
}

/// A kernel without nftables refuses; then there is no chain of theirs.
fn nftables_translate(buffer: &mut [u8]) -> bool {
    let mut found = false;
    let asked = Socket::open(Family::Netfilter).and_then(|mut questions| {
        questions.dump(CHAINS, buffer, |message| {
            found |= is_nat_chain(message.body)
        })
    });
    asked.is_ok() && found
}

fn some_connection_is_translated(
    questions: &mut Socket,
    buffer: &mut [u8],
) -> Result<bool, NetlinkError> {
    let mut found = false;
    dump(questions, buffer, |_| found = true)?;
    Ok(found)
}

/// Calls `each` with every translated connection, with some twice.
fn dump(
    questions: &mut Socket,
    buffer: &mut [u8],
    mut each: impl FnMut(&Entry),
) -> Result<Dumped, NetlinkError> {
    let mut filtered = true;
    let mut dumped = Dumped::Whole;
    // The kernel can ask for all of some bits, not for any of them.
    for bit in [SOURCE_TRANSLATED, DESTINATION_TRANSLATED] {
        let body = connections_with(bit);
        let one = questions.dump(connections(&body), buffer, |message| {
            if let Some(entry) = Entry::parse(message.body) {
                filtered &= entry.status & bit != 0;
                if entry.is_translated() {
                    each(&entry);
                }
            }
        })?;
        if one == Dumped::Interrupted {
            dumped = one;
        }
        // A kernel that does not filter has given all of them already.
        if !filtered {
            break;
        }
    }
    Ok(dumped)
}
