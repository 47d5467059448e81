//! The sockets to the kernel: one for questions and one for destroy messages in each network namespace.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileExt as _,
    },
};

use hashbrown::{HashMap, HashSet};

use super::{InetSocket, TCP, known::Complete, message};
use crate::{
    namespaces::Namespaces,
    netlink::{Events, Family, NetlinkError, Ready, Socket, count_losses},
};

/// `SKNLGRP_INET_TCP_DESTROY` (1) and `SKNLGRP_INET6_TCP_DESTROY` (3) of `include/uapi/linux/sock_diag.h`.
const GROUPS: u32 = 0b101;

/// A network namespace, seen through its sockets.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) questions: Socket,
    events: Events,
    /// `/proc/net/sockstat` and `sockstat6` of the namespace.
    counts: [Option<File>; 2],
    /// Messages were lost since the last pass.
    gap: bool,
    /// The last pass was whole.
    pub(super) walked: bool,
    /// The last refresh did not find the namespace. Its last connections are reported a moment after they ended, so it is
    /// kept until the next.
    leaving: bool,
}

impl Place {
    fn open(events: usize) -> Result<Self, NetlinkError> {
        Ok(Self {
            questions: Socket::open(Family::SockDiag)?,
            events: Events::subscribe(Family::SockDiag, GROUPS, events, &[])?,
            // An open file stays bound to the namespace that it was opened in.
            counts: ["sockstat", "sockstat6"]
                .map(|name| File::open(format!("/proc/thread-self/net/{name}")).ok()),
            gap: false,
            walked: true,
            leaving: false,
        })
    }

    /// Whether the namespace has TCP sockets, of IPv4 or of IPv6.
    ///
    /// A dump walks the hash table of the whole machine, whatever few sockets the namespace has: 0.15 ms against the 5 µs
    /// that it takes to ask for their number. If that cannot be had, there are some.
    pub(super) fn has_sockets(&self, family: u8) -> bool {
        let [v4, v6] = &self.counts;
        let file = if i32::from(family) == libc::AF_INET6 {
            v6
        } else {
            v4
        };
        let mut text = [0; 512];
        let Some(Ok(length)) = file.as_ref().map(|file| file.read_at(&mut text, 0)) else {
            return true;
        };
        tcp_in_use(text.get(..length).unwrap_or_default()) != Some(0)
    }

    /// Calls `each` with every TCP socket whose end was reported.
    pub(super) fn drain(
        &mut self,
        buffer: &mut [u8],
        mut each: impl FnMut(&InetSocket),
    ) -> Result<(), NetlinkError> {
        let whole = self.events.drain(buffer, |message| {
            if message.kind == message::BY_FAMILY
                && let Some(socket) = InetSocket::parse(message.body)
                && socket.is_of(TCP)
            {
                each(&socket);
            }
        })?;
        self.gap |= !whole;
        Ok(())
    }
}

/// The number in a line like `TCP: inuse 27 orphan 1 …` or `TCP6: inuse 3`.
fn tcp_in_use(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let line = text.lines().find_map(|line| {
        line.strip_prefix("TCP: inuse ")
            .or_else(|| line.strip_prefix("TCP6: inuse "))
    })?;
    line.split_whitespace().next()?.parse().ok()
}

/// Every namespace that is observed.
#[derive(Debug)]
pub(super) struct Places {
    places: HashMap<u32, Place>,
    ready: Ready,
    events: usize,
    /// Lost in namespaces that are gone.
    lost_before: u64,
}

impl AsFd for Places {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

impl Places {
    pub(super) fn new(events: usize) -> Result<Self, NetlinkError> {
        Ok(Self {
            places: HashMap::new(),
            ready: Ready::new()?,
            events,
            lost_before: 0,
        })
    }

    pub(super) fn open_own(&mut self, own: u32) -> Result<(), NetlinkError> {
        let place = Place::open(self.events)?;
        self.add(own, place)
    }

    fn add(&mut self, netns: u32, place: Place) -> Result<(), NetlinkError> {
        self.ready.add(netns, &place.events)?;
        self.places.insert(netns, place);
        Ok(())
    }

    /// Opens new namespaces, closes those that are gone and those whose sockets failed, and looks up how many messages
    /// were lost. Returns how many namespaces could not be opened.
    pub(super) fn follow(&mut self, namespaces: &Namespaces) -> u64 {
        let subscriptions = self
            .places
            .iter_mut()
            .map(|(netns, place)| (*netns, &mut place.events));
        count_losses(namespaces, subscriptions);
        let mut lost_before = self.lost_before;
        let mut failed = HashSet::new();
        self.places.retain(|netns, place| {
            let found = namespaces.contains(*netns);
            let keep = place.walked && (found || !place.leaving);
            place.leaving = !found;
            if !keep {
                lost_before += place.events.lost();
                failed.insert(*netns);
            }
            keep
        });
        self.lost_before = lost_before;
        let (events, known) = (self.events, &self.places);
        let opened =
            namespaces.each_of(|netns| !known.contains_key(&netns), |_| Place::open(events));
        let mut refused = 0;
        for (netns, place) in opened {
            let added = match place {
                Ok(Ok(mut place)) => {
                    // What ended between the old sockets and the new ones was not reported.
                    place.gap = failed.contains(&netns);
                    self.add(netns, place).map_err(io::Error::other)
                }
                Ok(Err(error)) => Err(io::Error::other(error)),
                Err(error) => Err(io::Error::other(error)),
            };
            if let Err(error) = added {
                refused += 1;
                let error = crate::error_chain(&error);
                tracing::debug!(error, netns, "network namespace is not observed");
            }
        }
        refused
    }

    /// Messages that the kernel threw away, as far as [`Places::follow`] has looked it up.
    pub(super) fn lost(&self) -> u64 {
        self.places
            .values()
            .map(|place| place.events.lost())
            .sum::<u64>()
            + self.lost_before
    }

    /// The same for one namespace.
    pub(super) fn lost_in(&self, netns: u32) -> u64 {
        self.places
            .get(&netns)
            .map_or(0, |place| place.events.lost())
    }

    /// Namespaces with messages to read.
    pub(super) fn ready(&self) -> Vec<u32> {
        self.ready.now()
    }

    pub(super) fn get_mut(&mut self, netns: u32) -> Option<&mut Place> {
        self.places.get_mut(&netns)
    }

    pub(super) fn all(&self) -> Vec<u32> {
        self.places.keys().copied().collect()
    }

    pub(super) fn each(&mut self, mut each: impl FnMut(u32, &mut Place)) {
        for (netns, place) in &mut self.places {
            each(*netns, place);
        }
    }

    pub(super) fn complete(&self, netns: u32) -> Complete {
        match self.places.get(&netns) {
            None => Complete::Gone,
            Some(place) if !place.walked => Complete::Unknown,
            Some(place) if place.gap => Complete::Lossy,
            Some(_) => Complete::Whole,
        }
    }

    pub(super) fn end_pass(&mut self) {
        for place in self.places.values_mut() {
            place.gap = false;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_sockets_is_read_from_both_files() {
        let v4 =
            b"sockets: used 290\nTCP: inuse 27 orphan 1 tw 5 alloc 99 mem 3\nUDP: inuse 2 mem 1\n";
        assert_eq!(tcp_in_use(v4), Some(27));
        assert_eq!(tcp_in_use(b"TCP6: inuse 3\nUDP6: inuse 1\n"), Some(3));
        for text in [&b""[..], b"TCP: inuse", b"TCP: inuse x", b"\xff"] {
            assert_eq!(tcp_in_use(text), None);
        }
    }
}
