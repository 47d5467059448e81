//! The packet socket of one namespace, and its change between queue and ring as packets become many or few, without
//! a packet lost or read twice.
//!
//! For a moment both sockets see each packet, with one timestamp of the kernel. Packets before that moment's end are taken from the
//! one that goes, those after it from the one that comes.

use std::{
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use super::{
    tap::{Frame, Tap},
    unix_ns,
};

/// Packets between two looks, a second, from which on a ring is cheaper: a queue costs about a microsecond for each.
const BUSY: u64 = 2000;
/// Packets between two looks that a queue is good for.
const QUIET: u64 = 200;
/// Looks after which a ring goes because packets are few.
const QUIET_LOOKS: u32 = 60;

/// A packet that was stamped when the new socket was not yet in the kernel's list goes to the old one. The kernel takes
/// far less than this, in nanoseconds, from the one to the other.
const AHEAD: u64 = 1_000_000;

/// How long packets take at most to be readable: those of a ring 10 ms.
const SETTLED_AFTER: Duration = Duration::from_millis(30);

/// What would suit a namespace better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Ring,
    Queue,
}

/// The socket that is read, and the one before it while that may have packets.
#[derive(Debug)]
pub(super) struct Taps {
    now: Tap,
    before: Option<Leaving>,
    /// What is stamped earlier was the other's; 0 when that is over.
    since_ns: u64,
    /// Packets that were read since the last look.
    read: u64,
    quiet_looks: u32,
}

#[derive(Debug)]
struct Leaving {
    tap: Tap,
    until_ns: u64,
    gone_at: Instant,
}

impl Taps {
    pub(super) fn new(tap: Tap) -> Self {
        Self {
            now: tap,
            before: None,
            since_ns: 0,
            read: 0,
            quiet_looks: 0,
        }
    }

    /// From now on `tap`, which is open in the same namespace.
    pub(super) fn replace(&mut self, tap: Tap) {
        let until_ns = unix_ns() + AHEAD;
        self.since_ns = until_ns;
        self.quiet_looks = 0;
        self.before = Some(Leaving {
            tap: std::mem::replace(&mut self.now, tap),
            until_ns,
            gone_at: Instant::now() + SETTLED_AFTER,
        });
    }

    /// Calls `each` with the packets that have come, and returns for how many the kernel had no room in a socket that
    /// is gone now.
    pub(super) fn drain(&mut self, buffer: &mut [u8], mut each: impl FnMut(Frame<'_>)) -> u64 {
        let (mut lost, mut read, since_ns) = (0, 0, self.since_ns);
        let mut taken = |frame: Frame<'_>| {
            read += 1;
            each(frame);
        };
        if let Some(before) = &mut self.before {
            let until_ns = before.until_ns;
            // Looked at before the packets: what comes later is not waited for.
            let is_over = Instant::now() >= before.gone_at;
            let has_more = before.tap.drain(buffer, |frame| {
                if frame.time_ns < until_ns {
                    taken(frame);
                }
            });
            if !is_over || has_more {
                self.read += read;
                return 0;
            }
            lost = u64::from(before.tap.statistics().drops);
            self.before = None;
        }
        let has_more = self.now.drain(buffer, |frame| {
            if frame.time_ns >= since_ns || frame.time_ns == 0 {
                taken(frame);
            }
        });
        if !has_more {
            self.since_ns = 0;
        }
        self.read += read;
        lost
    }

    /// What would suit better by the packets since the last look. Call about once a second.
    pub(super) fn look(&mut self) -> Option<Wish> {
        let read = std::mem::take(&mut self.read);
        if self.before.is_some() {
            return None;
        }
        if !self.now.is_ring() {
            return (read >= BUSY).then_some(Wish::Ring);
        }
        self.quiet_looks = if read <= QUIET {
            self.quiet_looks + 1
        } else {
            0
        };
        (self.quiet_looks >= QUIET_LOOKS).then_some(Wish::Queue)
    }

    #[cfg(test)]
    pub(super) fn look_after(&mut self, read: u64) -> Option<Wish> {
        self.read = read;
        self.look()
    }

    /// Whether packets are read from a ring.
    pub(super) fn is_ring(&self) -> bool {
        self.now.is_ring()
    }

    /// Packets for which the kernel had no room since the last call.
    pub(super) fn lost(&self) -> u64 {
        let before = self.before.as_ref();
        let before = before.map_or(0, |before| before.tap.statistics().drops);
        u64::from(self.now.statistics().drops) + u64::from(before)
    }
}

impl AsFd for Taps {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.now.as_fd()
    }
}
