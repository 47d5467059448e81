//! What a request is counted by.

use core::arch::asm;

use aya_ebpf::programs::SkBuffContext;
use weir_ebpf_common::http::{LINE, how};

use super::{HEAD, Head};
use crate::{
    http::{Stream, segment::Segment},
    read::AF_INET,
    udp::key::head as packet_head,
};

/// The end of a head, as the bytes are read one after the other.
const END: u32 = 0x0d0a_0d0a;

/// Method and path of a request.
pub(super) enum Line {
    Of {
        length: u32,
        truncated: bool,
    },
    /// Not to be counted here.
    None,
}

/// An index that the verifier sees compared right before it is used: it knows less of numbers than the compiler, which
/// would leave the comparison out.
#[inline(always)]
fn below(index: u64, limit: u64) -> Option<usize> {
    let mut index = index;
    // SAFETY: copies a register to itself.
    unsafe { asm!("{0} = {0}", inout(reg) index) };
    (index < limit).then_some(index as usize)
}

#[inline(always)]
fn byte(bytes: *const u8, at: u64) -> u8 {
    match below(at, HEAD as u64) {
        // SAFETY: less than there are.
        Some(at) => unsafe { bytes.add(at).read_volatile() },
        None => 0,
    }
}

#[inline(always)]
fn set(line: *mut u8, at: u64, byte: u8) {
    if let Some(at) = below(at, LINE as u64) {
        // SAFETY: less than there are.
        unsafe { line.add(at).write_volatile(byte) };
    }
}

/// Copies method and path to the key. `length` is of the whole segment.
#[inline(always)]
pub(super) fn line(head: &mut Head, captured: u32, length: u32) -> Line {
    let bytes = (&raw const head.bytes).cast::<u8>();
    let to = (&raw mut head.key.line).cast::<u8>();
    let before = head.line;
    let mut spaces = 0u64;
    let mut at = 0u64;
    let mut ended = 0u32;
    while at < LINE as u64 {
        if at >= u64::from(captured) {
            return Line::None;
        }
        let byte = byte(bytes, at);
        if byte == b' ' {
            spaces += 1;
            if spaces == 2 {
                ended = 1;
                break;
            }
        }
        if byte == b'?' {
            ended = 1;
            break;
        }
        if byte == b'\r' {
            return Line::None;
        }
        set(to, at, byte);
        at += 1;
    }
    // Through memory: what follows is verified once, and not for each length that a line can have.
    // SAFETY: fields of the head.
    let (end, ended) = unsafe {
        (&raw mut head.line).write_volatile(at as u32);
        (&raw mut head.reserved).write_volatile(ended);
        (
            u64::from((&raw const head.line).read_volatile()),
            (&raw const head.reserved).read_volatile() == 1,
        )
    };
    // What an earlier and longer line has left.
    let mut zero = end;
    while zero < LINE as u64 {
        if zero >= u64::from(before) {
            break;
        }
        set(to, zero, 0);
        zero += 1;
    }
    // Again: the loop has taught the verifier another range with each round.
    // SAFETY: fields of the head.
    let (end, captured) = unsafe {
        (
            u64::from((&raw const head.line).read_volatile()),
            (&raw const head.captured).read_volatile(),
        )
    };
    if length <= HEAD as u32 && is_several(bytes, end, captured) {
        return Line::None;
    }
    Line::Of {
        length: end as u32,
        truncated: !ended,
    }
}

/// Whether a request without a body is followed by something in the same segment: by another request.
#[inline(always)]
fn is_several(bytes: *const u8, from: u64, captured: u32) -> bool {
    if !matches!(byte(bytes, 0), b'G' | b'H' | b'D' | b'O') {
        return false;
    }
    let mut latest = 0u32;
    let mut at = from;
    while at < HEAD as u64 {
        if at >= u64::from(captured) {
            return false;
        }
        latest = latest << 8 | u32::from(byte(bytes, at));
        at += 1;
        if latest == END {
            return at != u64::from(captured);
        }
    }
    false
}

/// Fills in who speaks with whom.
#[inline(always)]
pub(super) fn ends(ctx: &SkBuffContext, segment: &Segment, stream: &Stream, head: &mut Head) {
    let key = &mut head.key;
    let is_sent = stream.client_sent == 1;
    let (source, destination): ([u32; 4], [u32; 4]) = if segment.family == AF_INET {
        let [source, destination]: [u32; 2] = packet_head(ctx, 12).unwrap_or_default();
        ([source, 0, 0, 0], [destination, 0, 0, 0])
    } else {
        (
            packet_head(ctx, 8).unwrap_or_default(),
            packet_head(ctx, 24).unwrap_or_default(),
        )
    };
    (key.local, key.remote) = if is_sent {
        (source, destination)
    } else {
        (destination, source)
    };
    let ports: u32 = packet_head(ctx, segment.header as usize & 0x3f).unwrap_or_default();
    // A request goes to the server.
    key.port = u16::from_be((ports >> 16) as u16);
    key.family = segment.family;
    key.netns = stream.netns;
    if !is_sent {
        key.how |= how::SERVER;
    }
}
