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

    #[inline(always)]
    pub(super) fn ends(&self) -> bool {
        self.finishes || self.resets
    }
}
