//! The sockets to the kernel: one for questions and one for destroy messages in each network namespace.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    os::unix::fs::MetadataExt as _,
};

use hashbrown::{HashMap, HashSet};
use rustix::event::{Timespec, epoll};

use super::{InetSocket, TCP, known::Complete, message};
use crate::{
    namespaces::Namespaces,
    netlink::{Drained, Family, NetlinkError, Socket},
};

/// `SKNLGRP_INET_TCP_DESTROY` (1) and `SKNLGRP_INET6_TCP_DESTROY` (3) of `include/uapi/linux/sock_diag.h`.
const GROUPS: u32 = 0b101;

/// Namespaces that are told ready at once.
const MOST_READY: usize = 256;

/// A network namespace, seen through its sockets.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) questions: Socket,
    events: Socket,
    /// Inode of the events' socket, by which the kernel's table of netlink sockets names it.
    inode: u64,
    /// Messages lost so far, as the kernel counts them.
    lost: u64,
    /// The kernel said that messages were lost; how many is not looked up yet.
    overrun: bool,
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
        let questions = Socket::open(Family::SockDiag)?;
        let events = Socket::subscribe(Family::SockDiag, GROUPS, events)?;
        let path = format!("/proc/thread-self/fd/{}", events.as_fd().as_raw_fd());
        Ok(Self {
            questions,
            inode: fs::metadata(path).map_or(0, |data| data.ino()),
            events,
            lost: 0,
            overrun: false,
            gap: false,
            walked: true,
            leaving: false,
        })
    }

    /// Calls `each` with every TCP socket whose end was reported.
    pub(super) fn drain(
        &mut self,
        buffer: &mut [u8],
        mut each: impl FnMut(&InetSocket),
    ) -> Result<Drained, NetlinkError> {
        let (mut overrun, events) = (false, &self.events);
        let drained = events.drain(
            buffer,
            |message| {
                if message.kind == message::BY_FAMILY
                    && let Some(socket) = InetSocket::parse(message.body)
                    && socket.is_of(TCP)
                {
                    each(&socket);
                }
            },
            || overrun = true,
        );
        self.overrun |= overrun;
        self.gap |= overrun;
        drained
    }
}

/// Every namespace that is observed.
#[derive(Debug)]
pub(super) struct Places {
    places: HashMap<u32, Place>,
    ready: OwnedFd,
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
        let ready =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|errno| NetlinkError::Open {
                family: "epoll",
                source: errno.into(),
            })?;
        Ok(Self {
            places: HashMap::new(),
            ready,
            events,
            lost_before: 0,
        })
    }

    pub(super) fn open_own(&mut self, own: u32) -> Result<(), NetlinkError> {
        let place = Place::open(self.events)?;
        self.add(own, place)
    }

    fn add(&mut self, netns: u32, place: Place) -> Result<(), NetlinkError> {
        epoll::add(
            &self.ready,
            &place.events,
            epoll::EventData::new_u64(u64::from(netns)),
            epoll::EventFlags::IN,
        )
        .map_err(|errno| NetlinkError::Open {
            family: "epoll",
            source: errno.into(),
        })?;
        self.places.insert(netns, place);
        Ok(())
    }

    /// Opens new namespaces, closes those that are gone and those whose sockets failed, and looks up how many messages
    /// were lost. Returns how many namespaces could not be opened.
    pub(super) fn follow(&mut self, namespaces: &Namespaces) -> u64 {
        let mut lost_before = self.lost_before;
        let mut failed = HashSet::new();
        self.places.retain(|netns, place| {
            let found = namespaces.contains(*netns);
            let keep = place.walked && (found || !place.leaving);
            place.leaving = !found;
            if !keep {
                lost_before += place.lost;
                failed.insert(*netns);
            }
            keep
        });
        self.lost_before = lost_before;
        self.count_losses(namespaces);
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

    /// The kernel's own count of what it threw away.
    fn count_losses(&mut self, namespaces: &Namespaces) {
        if !self.places.values().any(|place| place.overrun) {
            return;
        }
        let places = &self.places;
        let overran = |netns| places.get(&netns).is_some_and(|place| place.overrun);
        let tables = namespaces.each_of(overran, |_| {
            fs::read_to_string("/proc/thread-self/net/netlink").unwrap_or_default()
        });
        for (netns, table) in tables {
            if let (Some(place), Ok(table)) = (self.places.get_mut(&netns), table) {
                place.overrun = false;
                place.lost = crate::netlink::drops(&table, place.inode).unwrap_or(place.lost + 1);
            }
        }
    }

    /// Messages that the kernel threw away, as far as [`Places::follow`] has looked it up.
    pub(super) fn lost(&self) -> u64 {
        self.places.values().map(|place| place.lost).sum::<u64>() + self.lost_before
    }

    /// Namespaces with messages to read.
    pub(super) fn ready(&self) -> Vec<u32> {
        let mut events = Vec::with_capacity(MOST_READY);
        let now = Timespec::default();
        // A failed wait is an empty one: the next look comes soon.
        let _waited = epoll::wait(
            &self.ready,
            rustix::buffer::spare_capacity(&mut events),
            Some(&now),
        );
        events.iter().map(|event| event.data.u64() as u32).collect()
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
