//! What a request is counted by.

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

/// Copies method and path to the key. `length` is of the whole segment.
#[inline(always)]
pub(super) fn line(head: &mut Head, captured: u32, length: u32) -> Line {
    let bytes = (&raw const head.bytes).cast::<u8>();
    let to = (&raw mut head.key.line).cast::<u8>();
    let mut spaces = 0u32;
    let mut at = 0u32;
    let mut ended = false;
    while at < LINE as u32 {
        if at >= captured {
            return Line::None;
        }
        // SAFETY: less than `LINE` and `HEAD`.
        let byte = unsafe { bytes.add(at as usize).read_volatile() };
        if byte == b' ' {
            spaces += 1;
            if spaces == 2 {
                ended = true;
                break;
            }
        }
        if byte == b'?' || byte == b'\r' {
            ended = byte == b'?';
            if !ended {
                return Line::None;
            }
            break;
        }
        // SAFETY: less than `LINE`.
        unsafe { to.add(at as usize).write_volatile(byte) };
        at += 1;
    }
    let mut zero = at;
    while zero < LINE as u32 {
        // What an earlier and longer line has left.
        if zero >= head.line {
            break;
        }
        // SAFETY: less than `LINE`.
        unsafe { to.add(zero as usize).write_volatile(0) };
        zero += 1;
    }
    if length <= HEAD as u32 && is_several(bytes, at, captured) {
        return Line::None;
    }
    Line::Of {
        length: at,
        truncated: !ended,
    }
}

/// Whether a request without a body is followed by something in the same segment: by another request.
#[inline(always)]
fn is_several(bytes: *const u8, from: u32, captured: u32) -> bool {
    // SAFETY: there is at least one byte.
    let first = unsafe { bytes.read_volatile() };
    if !matches!(first, b'G' | b'H' | b'D' | b'O') {
        return false;
    }
    let mut latest = 0u32;
    let mut at = from;
    while at < HEAD as u32 {
        if at >= captured {
            return false;
        }
        // SAFETY: less than `HEAD`.
        let byte = unsafe { bytes.add(at as usize).read_volatile() };
        latest = latest << 8 | u32::from(byte);
        at += 1;
        if latest == END {
            return at != captured;
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
