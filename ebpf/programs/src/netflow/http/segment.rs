//! The TCP segment in a packet.

use core::arch::asm;

use aya_ebpf::programs::SkBuffContext;

use crate::{
    read::{AF_INET, AF_INET6},
    udp::key::{TCP, bounds, head},
};

const IPV6_HEADER: usize = 40;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;

/// Where a segment's payload is, and whose it is.
pub(crate) struct Segment {
    /// Sequence number of the first byte of the payload.
    pub(super) position: u32,
    /// Of the payload.
    pub(super) length: u32,
    /// Where in the packet the payload begins.
    pub(super) payload: u32,
    /// Where in the packet the TCP header begins.
    pub(super) header: u32,
    pub(super) family: u16,
    pub(super) finishes: bool,
    pub(super) resets: bool,
    /// The sender has nothing more to say for now.
    pub(super) pushes: bool,
}

/// Who speaks with whom; a key without gaps.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Peers {
    /// Address: 16 bytes in network order; IPv4 in the first four.
    pub(super) local: [u32; 4],
    pub(super) remote: [u32; 4],
    /// Host byte order.
    pub(super) local_port: u16,
    pub(super) remote_port: u16,
    /// Inode of the network namespace.
    pub(super) netns: u32,
}

/// A mask that lets the longest IP header pass: 60 bytes.
const LONGEST_HEADER: usize = 0x3f;

impl Segment {
    /// `None` for everything that carries no TCP payload and ends nothing. Packets with IPv6 extension headers count
    /// as such: no stack sends them with TCP unasked.
    #[inline(always)]
    pub(super) fn of(ctx: &SkBuffContext) -> Option<Self> {
        let (start, end) = bounds(ctx);
        if start + 20 > end {
            return None;
        }
        // SAFETY: the verifier checks these loads against the comparison above.
        let (first, v4_protocol, v6_next) = unsafe {
            let packet = start as *const u8;
            (*packet, *packet.add(9), *packet.add(6))
        };
        let (header, family) = match first >> 4 {
            4 if v4_protocol == TCP => (usize::from(first & 0x0f) * 4, AF_INET),
            6 if v6_next == TCP => (IPV6_HEADER, AF_INET6),
            _ => return None,
        };
        let mut position: u32 = head(ctx, header + 4)?;
        // SAFETY: copies a register to itself. It keeps the load here: the compiler would do it later, by a pointer
        // that the verifier has not seen compared.
        unsafe { asm!("{0} = {0}", inout(reg) position) };
        // Data offset and flags.
        let [offset, flags]: [u8; 2] = head(ctx, header + 12)?;
        let payload = header as u32 + u32::from(offset >> 4) * 4;
        let length = ctx.len().saturating_sub(payload);
        let (finishes, resets) = (flags & FIN != 0, flags & RST != 0);
        if (length == 0 && !finishes && !resets) || flags & SYN != 0 {
            return None;
        }
        Some(Self {
            position: u32::from_be(position),
            length,
            payload,
            header: header as u32,
            family,
            finishes,
            resets,
            pushes: flags & PSH != 0,
        })
    }

    /// The ends of the connection, as its end in `netns` sees them.
    #[inline(always)]
    pub(super) fn peers(&self, ctx: &SkBuffContext, is_sent: bool, netns: u32) -> Peers {
        let (source, destination): ([u32; 4], [u32; 4]) = if self.family == AF_INET {
            let [source, destination]: [u32; 2] = head(ctx, 12).unwrap_or_default();
            ([source, 0, 0, 0], [destination, 0, 0, 0])
        } else {
            (
                head(ctx, 8).unwrap_or_default(),
                head(ctx, 24).unwrap_or_default(),
            )
        };
        // The verifier has forgotten how long an IP header can be.
        let header = self.header as usize & LONGEST_HEADER;
        let ports: u32 = head(ctx, header).unwrap_or_default();
        let (from, to) = (
            u16::from_be(ports as u16),
            u16::from_be((ports >> 16) as u16),
        );
        let (local, remote, local_port, remote_port) = if is_sent {
            (source, destination, from, to)
        } else {
            (destination, source, to, from)
        };
        Peers {
            local,
            remote,
            local_port,
            remote_port,
            netns,
        }
    }

    #[inline(always)]
    pub(super) fn ends(&self) -> bool {
        self.finishes || self.resets
    }
}
