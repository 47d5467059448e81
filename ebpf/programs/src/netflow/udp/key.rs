//! From a packet to the key of its flow.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use weir_ebpf_common::netflow::udp::UdpKey;

use super::Way;
use crate::read::{AF_INET, AF_INET6};

/// `IPPROTO_UDP`.
pub(crate) const UDP: u8 = 17;
/// `IPPROTO_TCP`.
pub(crate) const TCP: u8 = 6;
const IPV6_HEADER: u32 = 40;
/// IPv6 extension headers that are looked through; more than any stack sends.
const MOST_EXTENSIONS: u32 = 6;

/// Whether a packet carries TCP, and no IPv6 extension headers.
#[inline(always)]
pub(crate) fn is_tcp(ctx: &SkBuffContext) -> bool {
    let (start, end) = bounds(ctx);
    if start + 20 > end {
        return false;
    }
    // SAFETY: the verifier checks these loads against the comparison above.
    let (first, v4_protocol, v6_next) = unsafe {
        let packet = start as *const u8;
        (*packet, *packet.add(9), *packet.add(6))
    };
    matches!(
        (first >> 4, v4_protocol, v6_next),
        (4, TCP, _) | (6, _, TCP)
    )
}

/// Where the UDP header of a packet begins. `None` if it carries no UDP.
#[inline(always)]
pub(crate) fn udp_header(ctx: &SkBuffContext) -> Option<(u32, u16)> {
    let (start, end) = bounds(ctx);
    if start + 20 > end {
        return None;
    }
    // SAFETY: the verifier checks these loads against the comparison above.
    let (first, v4_protocol, v6_next) = unsafe {
        let packet = start as *const u8;
        (*packet, *packet.add(9), *packet.add(6))
    };
    match first >> 4 {
        4 if v4_protocol == UDP => Some((u32::from(first & 0x0f) * 4, AF_INET)),
        6 if v6_next == UDP => Some((IPV6_HEADER, AF_INET6)),
        // Hop-by-hop options, routing, authentication, destination options: headers before the UDP one.
        6 if matches!(v6_next, 0 | 43 | 51 | 60) => after_extensions(ctx, v6_next),
        _ => None,
    }
}

#[inline(always)]
fn after_extensions(ctx: &SkBuffContext, first: u8) -> Option<(u32, u16)> {
    let (mut next, mut at) = (first, IPV6_HEADER);
    for _ in 0..MOST_EXTENSIONS {
        let header: u16 = load(ctx, at)?;
        let [following, length] = header.to_ne_bytes();
        at += match next {
            0 | 43 | 60 => (u32::from(length) + 1) * 8,
            51 => (u32::from(length) + 2) * 4,
            _ => return None,
        };
        next = following;
        if next == UDP {
            return Some((at, AF_INET6));
        }
    }
    None
}

/// A value of the packet, as it is on the wire.
#[inline(always)]
fn load<T: Copy + Default>(ctx: &SkBuffContext, at: u32) -> Option<T> {
    let mut value = T::default();
    let to: *mut T = &raw mut value;
    // SAFETY: the helper writes as many bytes as the value has.
    let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), at, to.cast(), size_of::<T>() as u32) };
    (failed == 0).then_some(value)
}

/// Fills in every field of the key, as six words: the map reads it as words again, and the processor waits for
/// words that were stored in pieces.
#[inline(always)]
pub(crate) fn read_key(
    key: *mut UdpKey,
    ctx: &SkBuffContext,
    header: u32,
    family: u16,
    way: Way,
) -> Option<()> {
    let (source, destination) = if family == AF_INET {
        let [source, destination]: [u32; 2] = head(ctx, 12)?;
        ([u64::from(source), 0], [u64::from(destination), 0])
    } else {
        let [a, b, c, d]: [u64; 4] = head(ctx, 8)?;
        ([a, b], [c, d])
    };
    let ports: u32 = match head(ctx, header as usize) {
        Some(ports) => ports,
        // The UDP header may lie outside of what can be read directly.
        None => load(ctx, header)?,
    };
    // The wire has the source before the destination, and the high byte before the low.
    let (from, to) = (
        u16::from_be(ports as u16),
        u16::from_be((ports >> 16) as u16),
    );
    let (local, remote, local_port, remote_port) = if way == Way::Incoming {
        (destination, source, to, from)
    } else {
        (source, destination, from, to)
    };
    let last = u64::from(local_port) | u64::from(remote_port) << 16 | u64::from(family) << 32;
    let words = key.cast::<u64>();
    // SAFETY: the key is six words long. Volatile: the stores are not to be cut or replaced by a call.
    unsafe {
        // The socket is filled in when it is needed.
        words.write_volatile(0);
        words.add(1).write_volatile(local[0]);
        words.add(2).write_volatile(local[1]);
        words.add(3).write_volatile(remote[0]);
        words.add(4).write_volatile(remote[1]);
        words.add(5).write_volatile(last);
    }
    Some(())
}

/// A value from the head of the packet, as it is on the wire.
#[inline(always)]
pub(crate) fn head<T: Copy>(ctx: &SkBuffContext, at: usize) -> Option<T> {
    let (start, end) = bounds(ctx);
    if start + at + size_of::<T>() > end {
        return None;
    }
    // SAFETY: the verifier checks the load against the comparison above. Packets are not aligned.
    Some(unsafe { ((start + at) as *const T).read_unaligned() })
}

/// Where the part of the packet begins and ends that programs may read directly.
#[inline(always)]
pub(crate) fn bounds(ctx: &SkBuffContext) -> (usize, usize) {
    // SAFETY: fields of the context.
    unsafe {
        let packet = ctx.skb.skb;
        ((*packet).data as usize, (*packet).data_end as usize)
    }
}

/// Whether two keys of one socket are the same flow.
#[inline(always)]
pub(crate) fn is_same(one: &UdpKey, other: &UdpKey) -> bool {
    let (one, other) = (words(one), words(other));
    // SAFETY: the keys are six words long; the first is the socket.
    unsafe {
        (1..6).fold(0, |all, at| {
            all | (one.add(at).read() ^ other.add(at).read())
        }) == 0
    }
}

#[inline(always)]
pub(crate) fn copy(to: &mut UdpKey, from: &UdpKey) {
    let (to, from) = ((&raw mut *to).cast::<u64>(), words(from));
    // SAFETY: the keys are six words long. Volatile: the stores are not to be replaced by a call.
    (0..6).for_each(|at| unsafe { to.add(at).write_volatile(from.add(at).read()) });
}

#[inline(always)]
fn words(key: &UdpKey) -> *const u64 {
    core::ptr::from_ref(key).cast()
}
