//! A packet socket of one namespace: a ring in shared memory where many packets are expected, a queue in the kernel
//! where they are few.
//!
//! A ring costs no system call for each packet, but its memory is taken at once and its timer runs for ever. A queue takes
//! memory only for packets that wait, and wakes us with the first.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use socket2::{SockFilter, SockRef};

use super::system::{Blocks, Statistics, bind_to_every_device, receive, set_option, statistics};
use crate::netlink::message::{u16_at, u32_at};

/// A block of a ring takes the largest packet whole.
const BLOCK: usize = 256 << 10;

/// How long a packet waits in the ring until we can see it, in milliseconds, if its block does not fill up.
const RETIRE_AFTER: u32 = 10;

/// Packets of one look at a queue, so that one namespace cannot keep us from the others.
const MOST_PACKETS: usize = 4096;

/// Longest packet that is taken from a queue: the largest of IP, and a header.
pub(super) const LONGEST: usize = 68 << 10;

/// What the kernel says of a packet, and what it captured of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// From the IP header on.
    pub(super) bytes: &'a [u8],
    /// `CLOCK_REALTIME`, 0 if unknown.
    pub(super) time_ns: u64,
    pub(super) device: u32,
    /// `PACKET_HOST` and its siblings.
    pub(super) kind: u8,
    /// `ARPHRD_LOOPBACK` and its siblings.
    pub(super) link: u16,
}

/// A packet socket.
#[derive(Debug)]
pub(super) struct Tap {
    socket: OwnedFd,
    ring: Option<Ring>,
}

#[derive(Debug)]
struct Ring {
    blocks: Blocks,
    next: usize,
}

impl Tap {
    /// A ring of about `bytes`, in the namespace of this thread.
    pub(super) fn ring(bytes: usize, filter: &[SockFilter]) -> io::Result<Self> {
        let socket = open(filter)?;
        let (packet, blocks) = (libc::SOL_PACKET, (bytes / BLOCK).max(2));
        set_option(&socket, packet, libc::PACKET_VERSION, &TPACKET_V3)?;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: FRAME,
            tp_frame_nr: (BLOCK * blocks) as u32 / FRAME,
            tp_retire_blk_tov: RETIRE_AFTER,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(&socket, packet, libc::PACKET_RX_RING, &request)?;
        // One time for each packet, whichever socket it is read from.
        set_option(&socket, packet, libc::PACKET_TIMESTAMP, &SOFTWARE)?;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1_i32)?;
        let blocks = Blocks::map(socket.as_fd(), BLOCK, blocks)?;
        bind_to_every_device(socket.as_fd())?;
        Ok(Self {
            socket,
            ring: Some(Ring { blocks, next: 0 }),
        })
    }

    /// A queue of about `bytes`, in the namespace of this thread.
    pub(super) fn queue(bytes: usize, filter: &[SockFilter]) -> io::Result<Self> {
        let socket = open(filter)?;
        let (level, room) = (libc::SOL_SOCKET, bytes as i32);
        // Past `net.core.rmem_max` only with CAP_NET_ADMIN; less room means earlier losses, which are counted.
        set_option(&socket, level, libc::SO_RCVBUFFORCE, &room)
            .or_else(|_| set_option(&socket, level, libc::SO_RCVBUF, &room))?;
        set_option(&socket, level, libc::SO_TIMESTAMPNS, &1_i32)?;
        bind_to_every_device(socket.as_fd())?;
        Ok(Self { socket, ring: None })
    }

    /// Calls `each` with the packets that have come. Returns whether there are more.
    pub(super) fn drain(&mut self, buffer: &mut [u8], mut each: impl FnMut(Frame<'_>)) -> bool {
        let Some(ring) = &mut self.ring else {
            return drain_queue(self.socket.as_fd(), buffer, each);
        };
        for _ in 0..ring.blocks.count() {
            if !ring
                .blocks
                .read(ring.next, |block| frames(block, &mut each))
            {
                return false;
            }
            ring.next = (ring.next + 1) % ring.blocks.count();
        }
        true
    }

    /// Whether packets wait in shared memory.
    pub(super) fn is_ring(&self) -> bool {
        self.ring.is_some()
    }

    /// Packets that passed the filter since the last call, and those of them for which there was no room.
    pub(super) fn statistics(&self) -> Statistics {
        statistics(self.socket.as_fd()).unwrap_or_default()
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Of no protocol yet: it takes nothing before its filter is there and it is bound.
fn open(filter: &[SockFilter]) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::PACKET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    SockRef::from(&socket).attach_filter(filter)?;
    Ok(socket)
}

fn drain_queue(socket: BorrowedFd<'_>, buffer: &mut [u8], mut each: impl FnMut(Frame<'_>)) -> bool {
    for _ in 0..MOST_PACKETS {
        match receive(socket, buffer) {
            Ok(packet) => each(Frame {
                bytes: buffer.get(..packet.length).unwrap_or(buffer),
                time_ns: packet.time_ns,
                device: packet.device,
                kind: packet.kind,
                link: packet.link,
            }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Nothing left, or a device that went down: the next look tells.
            Err(_) => return false,
        }
    }
    true
}

/// `SOF_TIMESTAMPING_SOFTWARE` of `include/uapi/linux/net_tstamp.h`.
const SOFTWARE: i32 = 1 << 4;
/// `TPACKET_V3`.
const TPACKET_V3: i32 = 2;
/// A ring of version 3 has frames of any length; the kernel wants a number all the same.
const FRAME: u32 = 2048;

/// Walks a block: `struct tpacket_block_desc`, then at each place a `struct tpacket3_hdr`, `struct sockaddr_ll` and the packet
/// (`include/uapi/linux/if_packet.h`).
pub(super) fn frames(block: &[u8], mut each: impl FnMut(Frame<'_>)) {
    const PACKETS: usize = 12;
    const FIRST: usize = 16;
    const ADDRESS: usize = 48;
    let count = u32_at(block, PACKETS).unwrap_or_default();
    let mut at = u32_at(block, FIRST).unwrap_or_default() as usize;
    for _ in 0..count {
        let Some(header) = block.get(at..) else {
            return;
        };
        let frame = || {
            let (start, length) = (u16_at(header, 26)?, u32_at(header, 12)?);
            let (seconds, part) = (u32_at(header, 4)?, u32_at(header, 8)?);
            let address = header.get(ADDRESS..)?;
            let from = usize::from(start);
            Some(Frame {
                bytes: header.get(from..from.checked_add(length as usize)?)?,
                time_ns: u64::from(seconds) * 1_000_000_000 + u64::from(part),
                device: u32_at(address, 4)?,
                kind: *address.get(10)?,
                link: u16_at(address, 8)?,
            })
        };
        let (Some(frame), Some(step)) = (frame(), u32_at(header, 0)) else {
            return;
        };
        each(frame);
        at = at.saturating_add(step as usize);
    }
}
