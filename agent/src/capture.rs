//! Packets of every network namespace, as packet sockets (AF_PACKET) see them, each once and where it begins or ends.
//!
//! A packet that crosses a host is seen many times: at both sides of loopback, at a VLAN and its link, at a bridge and each of
//! its ports, and in every namespace on the way. Counted is what begins or ends in a namespace: whose source or
//! destination is one of the namespace's own addresses. Loopback's outgoing side is left out by the filter, further
//! devices of one namespace by [`Seen`]. What a namespace sends on under an address of its own (masquerade) was seen to come in
//! a moment before, and is marked.

mod addresses;
pub(crate) mod filter;
#[doc(hidden)]
pub mod packet;
mod seen;
mod sight;
mod system;
mod tap;
mod taps;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, SystemTime},
};

use hashbrown::HashMap;
use rustix::event::{Timespec, epoll};
use socket2::SockFilter;

use self::{
    addresses::Addresses,
    packet::Datagram,
    seen::Seen,
    sight::Sight,
    tap::{LONGEST, Tap},
    taps::{Taps, Wish},
};
use crate::{
    namespaces::Namespaces,
    netlink::{self, NetlinkError},
};

/// Rings of other namespaces than the agent's own. Further ones keep their queues, however busy.
const MOST_RINGS: usize = 16;

/// Sockets that are told ready at once.
const MOST_READY: usize = 256;

/// Packets cannot be captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Not in the agent's own namespace.
    #[error("cannot capture packets (CAP_NET_RAW is needed, and CONFIG_PACKET in the kernel)")]
    Socket(#[source] io::Error),
    /// Whether a packet is ours cannot be known.
    #[error("cannot read the addresses of a network namespace")]
    Addresses(#[source] NetlinkError),
    /// The system has no descriptor left.
    #[error("cannot wait for packets")]
    Wait(#[source] io::Error),
}

/// What is captured, and how much may wait.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Chooses the packets, in the kernel.
    pub(crate) filter: Vec<SockFilter>,
    /// Ring of the agent's own namespace, and of others with many packets, in bytes: memory that is taken at once.
    pub(crate) ring: usize,
    /// Queue of each further namespace, in bytes: memory that is taken only for packets that wait.
    pub(crate) queue: usize,
    /// Namespaces at most.
    pub(crate) namespaces: usize,
}

/// A packet where it begins or ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    /// Inode of the network namespace.
    pub(crate) netns: u32,
    /// `CLOCK_REALTIME` in nanoseconds.
    pub(crate) time_ns: u64,
    pub(crate) datagram: Datagram<'a>,
    /// Whether it was sent in this namespace.
    pub(crate) from_here: bool,
    /// Whether it is received in this namespace.
    pub(crate) to_here: bool,
    /// It only passes: what came from elsewhere goes on under an address of this namespace.
    pub(crate) is_translated: bool,
}

/// What was captured; each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Packets that the filter let through, with those that were lost.
    pub(crate) packets: u64,
    /// Those for which the kernel had no room.
    pub(crate) lost: u64,
    /// Packets that were read already at another device.
    pub(crate) repeated: u64,
    /// Packets that neither begin nor end in their namespace.
    pub(crate) forwarded: u64,
    /// Packets that cannot be read.
    pub(crate) unreadable: u64,
    /// Namespaces that could not be watched, counted at each look.
    pub(crate) refused: u64,
}

#[derive(Debug)]
struct Place {
    taps: Taps,
    addresses: Addresses,
    at_devices: Seen,
    passing: Seen,
}

/// Packet sockets in every namespace.
#[derive(Debug)]
pub(crate) struct Capture {
    settings: Settings,
    places: HashMap<u32, Place>,
    ready: OwnedFd,
    buffer: Vec<u8>,
    messages: Vec<u8>,
    tally: Tally,
}

impl Capture {
    /// Captures in the namespaces that are there now.
    ///
    /// # Errors
    /// If the agent's own namespace cannot be watched. Others that cannot are counted.
    pub(crate) fn open(namespaces: &Namespaces, settings: Settings) -> Result<Self, CaptureError> {
        let ready = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|errno| CaptureError::Wait(errno.into()))?;
        let mut capture = Self {
            settings,
            places: HashMap::new(),
            ready,
            buffer: vec![0; LONGEST],
            messages: netlink::buffer(),
            tally: Tally::default(),
        };
        let own = namespaces.own();
        for (_, opened) in capture.open_where(namespaces, |netns| netns == own) {
            capture.add(own, opened?)?;
        }
        capture.follow(namespaces);
        Ok(capture)
    }

    /// Watches namespaces that are new, and lets go of those that are gone. Call after each refresh.
    pub(crate) fn follow(&mut self, namespaces: &Namespaces) {
        let tally = &mut self.tally;
        self.places.retain(|netns, place| {
            let keep = namespaces.contains(*netns);
            if !keep {
                count(tally, place);
            }
            keep
        });
        let room = self.settings.namespaces.saturating_sub(self.places.len());
        let mut wanted = std::collections::BTreeSet::new();
        for netns in namespaces.inodes() {
            if self.places.contains_key(&netns) {
                continue;
            }
            if wanted.len() < room {
                wanted.insert(netns);
            } else {
                self.tally.refused += 1;
            }
        }
        for (netns, opened) in self.open_where(namespaces, |netns| wanted.contains(&netns)) {
            if let Err(error) = opened.and_then(|place| self.add(netns, place)) {
                self.tally.refused += 1;
                let error = crate::error_chain(&error);
                tracing::debug!(error, netns, "packets are not captured");
            }
        }
        self.read_stale_addresses(namespaces);
        self.change_taps(namespaces);
    }

    fn open_where(
        &mut self,
        namespaces: &Namespaces,
        wanted: impl Fn(u32) -> bool,
    ) -> Vec<(u32, Result<Place, CaptureError>)> {
        let (own, settings, messages) = (namespaces.own(), &self.settings, &mut self.messages);
        let opened = namespaces.each_of(wanted, |namespace| {
            let addresses = Addresses::open(messages).map_err(CaptureError::Addresses)?;
            let wish = if namespace.inode() == own {
                Wish::Ring
            } else {
                Wish::Queue
            };
            let tap = settings.open(wish);
            Ok(Place {
                taps: Taps::new(tap.map_err(CaptureError::Socket)?),
                addresses,
                at_devices: Seen::default(),
                passing: Seen::default(),
            })
        });
        let opened = opened.into_iter().map(|(netns, opened)| {
            let opened = opened.map_err(|refused| CaptureError::Socket(io::Error::other(refused)));
            (netns, opened.flatten())
        });
        opened.collect()
    }

    fn add(&mut self, netns: u32, place: Place) -> Result<(), CaptureError> {
        self.await_packets(netns, &place.taps)?;
        self.await_packets(netns, &place.addresses)?;
        self.places.insert(netns, place);
        Ok(())
    }

    fn await_packets(&self, netns: u32, of: impl AsFd) -> Result<(), CaptureError> {
        let key = epoll::EventData::new_u64(u64::from(netns));
        epoll::add(&self.ready, of, key, epoll::EventFlags::IN)
            .map_err(|errno| CaptureError::Wait(errno.into()))
    }

    /// Rings where packets are many by now, queues where they are few again.
    fn change_taps(&mut self, namespaces: &Namespaces) {
        let own = namespaces.own();
        let others = self.places.iter_mut().filter(|(netns, _)| **netns != own);
        let mut rings = 0;
        let mut wishes: HashMap<u32, Wish> = HashMap::new();
        for (netns, place) in others {
            rings += usize::from(place.taps.is_ring());
            wishes.extend(place.taps.look().map(|wish| (*netns, wish)));
        }
        wishes.retain(|_, wish| {
            rings += usize::from(*wish == Wish::Ring);
            *wish == Wish::Queue || rings <= MOST_RINGS
        });
        let settings = &self.settings;
        let opened = namespaces.each_of(
            |netns| wishes.contains_key(&netns),
            |namespace| {
                let wish = wishes.get(&namespace.inode()).copied();
                settings.open(wish.unwrap_or(Wish::Queue))
            },
        );
        for (netns, opened) in opened {
            // What cannot be opened now is wished for again.
            let Ok(Ok(tap)) = opened else { continue };
            if self.await_packets(netns, &tap).is_err() {
                continue;
            }
            if let Some(place) = self.places.get_mut(&netns) {
                place.taps.replace(tap);
            }
        }
    }

    fn read_stale_addresses(&mut self, namespaces: &Namespaces) {
        let stale: Vec<u32> = self
            .places
            .iter()
            .filter_map(|(netns, place)| place.addresses.is_stale.then_some(*netns))
            .collect();
        let (places, messages) = (&mut self.places, &mut self.messages);
        let read = namespaces.each_of(
            |netns| stale.contains(&netns),
            |namespace| match places.get_mut(&namespace.inode()) {
                Some(place) => place.addresses.read(messages),
                None => Ok(()),
            },
        );
        for (netns, read) in read {
            if let Ok(Err(error)) = read {
                let error = crate::error_chain(&error);
                tracing::debug!(error, netns, "addresses are not read");
            }
        }
    }

    /// Waits until packets have come, for at most so long, and calls `each` with them.
    pub(crate) fn drain(&mut self, most: Duration, mut each: impl FnMut(&Packet<'_>)) {
        let mut ready: Vec<epoll::Event> = Vec::with_capacity(MOST_READY);
        // A failed wait is an empty one.
        let _waited = epoll::wait(
            &self.ready,
            rustix::buffer::spare_capacity(&mut ready),
            Timespec::try_from(most).ok().as_ref(),
        );
        let mut last = None;
        for event in &ready {
            let netns = event.data.u64() as u32;
            // A tap and the addresses of one namespace come one after the other, mostly.
            if last.replace(netns) == Some(netns) {
                continue;
            }
            let Some(place) = self.places.get_mut(&netns) else {
                continue;
            };
            let (tally, messages) = (&mut self.tally, &mut self.messages);
            // Before the packets: an address is there before it is used.
            place.addresses.follow(messages);
            let Place {
                taps,
                addresses,
                at_devices,
                passing,
            } = place;
            let mut sight = Sight {
                netns,
                addresses,
                at_devices,
                passing,
                tally,
            };
            let lost = taps.drain(&mut self.buffer, |frame| {
                sight.tally.packets += 1;
                if let Some(packet) = sight.packet(frame) {
                    each(&packet);
                }
            });
            self.tally.lose(lost);
        }
    }

    /// Counts, and lets go of what is only remembered for a moment. Call about once a second.
    pub(crate) fn tally(&mut self) -> Tally {
        for place in self.places.values_mut() {
            count(&mut self.tally, place);
            place.at_devices.forget();
            place.passing.forget();
        }
        self.tally
    }
}

fn count(tally: &mut Tally, place: &Place) {
    tally.lose(place.taps.lost());
}

impl Tally {
    fn lose(&mut self, packets: u64) {
        self.packets += packets;
        self.lost += packets;
    }
}

impl Settings {
    /// A socket in the namespace of this thread.
    fn open(&self, wish: Wish) -> io::Result<Tap> {
        match wish {
            Wish::Ring => Tap::ring(self.ring, &self.filter),
            Wish::Queue => Tap::queue(self.queue, &self.filter),
        }
    }
}

/// `CLOCK_REALTIME` in nanoseconds.
pub(crate) fn unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
mod tests;
