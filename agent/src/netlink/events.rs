//! What the kernel sends on its own, from many network namespaces at once, and how much of it was lost.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    os::unix::fs::MetadataExt as _,
};

use rustix::event::{Timespec, epoll};
use socket2::{SockFilter, SockRef};

use super::{Drained, Family, NetlinkError, Socket, drops::drops, message::Message};
use crate::namespaces::Namespaces;

/// Namespaces that are told ready at once.
const MOST_READY: usize = 256;

/// A subscription in one network namespace.
#[derive(Debug)]
pub(crate) struct Events {
    socket: Socket,
    /// Inode of the socket, by which the kernel's table of netlink sockets names it.
    inode: u64,
    lost: u64,
    overrun: bool,
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Events {
    /// As [`Socket::subscribe`], in the namespace that this thread is in. What `filter`, a classic BPF program,
    /// returns 0 for is not even queued.
    pub(crate) fn subscribe(
        family: Family,
        groups: u32,
        bytes: usize,
        filter: &[SockFilter],
    ) -> Result<Self, NetlinkError> {
        let socket = Socket::subscribe(family, groups, bytes)?;
        if !filter.is_empty() {
            // Without it the same is thrown away later.
            let _attached = SockRef::from(&socket).attach_filter(filter);
        }
        let path = format!("/proc/thread-self/fd/{}", socket.as_fd().as_raw_fd());
        Ok(Self {
            inode: fs::metadata(path).map_or(0, |data| data.ino()),
            socket,
            lost: 0,
            overrun: false,
        })
    }

    /// Calls `each` with what has come. Returns whether nothing was lost since the last call.
    pub(crate) fn drain(
        &mut self,
        buffer: &mut [u8],
        each: impl FnMut(Message<'_>),
    ) -> Result<bool, NetlinkError> {
        let mut whole = true;
        let drained = self.socket.drain(buffer, each, || whole = false);
        self.overrun |= !whole;
        drained.map(|_: Drained| whole)
    }

    /// Messages lost, as far as [`count_losses`] has looked it up.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

/// Asks the kernel how many messages it threw away, for each subscription that lost any.
pub(crate) fn count_losses<'a>(
    namespaces: &Namespaces,
    events: impl Iterator<Item = (u32, &'a mut Events)>,
) {
    let mut overran: Vec<(u32, &mut Events)> =
        events.filter(|(_, events)| events.overrun).collect();
    if overran.is_empty() {
        return;
    }
    let tables = namespaces.each_of(
        |netns| overran.iter().any(|(one, _)| *one == netns),
        |_| fs::read_to_string("/proc/thread-self/net/netlink").unwrap_or_default(),
    );
    for (netns, table) in tables {
        let events = overran.iter_mut().find(|(one, _)| *one == netns);
        if let (Some((_, events)), Ok(table)) = (events, table) {
            events.overrun = false;
            events.lost = drops(&table, events.inode).unwrap_or(events.lost + 1);
        }
    }
}

/// Tells which subscriptions have something to read.
#[derive(Debug)]
pub(crate) struct Ready(OwnedFd);

impl AsFd for Ready {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Ready {
    pub(crate) fn new() -> Result<Self, NetlinkError> {
        epoll::create(epoll::CreateFlags::CLOEXEC)
            .map(Self)
            .map_err(cannot_wait)
    }

    /// Closing the subscription is enough to remove it.
    pub(crate) fn add(&self, netns: u32, events: &Events) -> Result<(), NetlinkError> {
        let key = epoll::EventData::new_u64(u64::from(netns));
        epoll::add(&self.0, &events.socket, key, epoll::EventFlags::IN).map_err(cannot_wait)
    }

    /// Namespaces with something to read, at most 256; the others are told with the next call.
    pub(crate) fn now(&self) -> Vec<u32> {
        let mut ready = Vec::with_capacity(MOST_READY);
        // A failed wait is an empty one: the next look comes soon.
        let _waited = epoll::wait(
            &self.0,
            rustix::buffer::spare_capacity(&mut ready),
            Some(&Timespec::default()),
        );
        ready.iter().map(|event| event.data.u64() as u32).collect()
    }
}

fn cannot_wait(errno: rustix::io::Errno) -> NetlinkError {
    NetlinkError::Open {
        family: "epoll",
        source: errno.into(),
    }
}
