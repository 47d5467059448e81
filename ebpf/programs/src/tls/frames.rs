//! HTTP/2: everything but the payload of large DATA frames.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use weir_ebpf_common::http::{MOST_CAPTURED, protocol};

use crate::{
    call::{Call, Caller},
    connection::{Connection, Half},
    hand_on::hand_on,
};

/// Of a frame's header (RFC 9113, 4.1): length (3), type (1), flags (1), stream (4).
const HEADER: u32 = 9;
/// Of it, what is looked at.
const LOOKED_AT: u32 = 4;
/// Of the type.
const DATA: u32 = 0;
/// The client's preface, before its first frame.
const PREFACE: u32 = 24;
/// To leave out less is not worth a piece of its own.
const LARGE: u32 = 1024;
/// Frames looked at between two large ones, and large ones in one call. Where there are more, the stream's frames
/// are lost sight of, and everything is handed on from then on.
const MOST_FRAMES: u32 = 24;
const MOST_LARGE: u32 = 6;
/// Pieces of what lies between two large frames.
const MOST_PIECES: u32 = 5;
/// In [`Half::walk`]: frames were lost sight of.
const LOST: u8 = 1;

/// Where a walk over frames has come to.
enum Step {
    /// A large DATA frame: its header ends here, and its payload there.
    Large(u32, u32),
    /// There is no further one in this call.
    Done,
}

/// Hands on what lies between the payloads of large DATA frames.
#[inline(always)]
pub(crate) fn frames(caller: &Caller, connection: &mut Connection, call: &Call, has_preface: bool) {
    let half = connection.half(call.is_sent());
    let length = call.length;
    // The client's first frame comes after its preface; a server has none.
    let mut at = if has_preface { PREFACE } else { 0 };
    let mut start = 0;
    if half.skip >= length {
        half.skip -= length;
        return;
    }
    if half.skip > 0 {
        (at, start) = (half.skip, half.skip);
        half.skip = 0;
    }
    for _ in 0..MOST_LARGE {
        let step = walk(half, call, &mut at);
        let end = match step {
            Step::Large(end, _) => end,
            Step::Done => length,
        };
        between(caller, (start, end));
        let Step::Large(_, next) = step else { return };
        if next >= length {
            half.skip = next - length;
            return;
        }
        (at, start) = (next, next);
    }
    half.walk |= LOST;
    between(caller, (start, length));
}

/// Goes from frame to frame until a large DATA frame.
#[inline(always)]
fn walk(half: &mut Half, call: &Call, at: &mut u32) -> Step {
    if half.walk & LOST != 0 {
        return Step::Done;
    }
    // A frame that is not left out and ends in a later call.
    if half.pass > 0 {
        *at = at.wrapping_add(half.pass);
        half.pass = 0;
    }
    for _ in 0..MOST_FRAMES {
        if *at >= call.length {
            half.pass = *at - call.length;
            return Step::Done;
        }
        if !complete(half, call, at) {
            return Step::Done;
        }
        let header = u32::from_be(half.header);
        (half.header, half.header_bytes) = (0, 0);
        let (length, kind) = (header >> 8, header & 0xff);
        if kind == DATA && length >= LARGE {
            return Step::Large(*at, at.wrapping_add(length));
        }
        *at = at.wrapping_add(length);
    }
    half.walk |= LOST;
    Step::Done
}

/// Reads a frame's header, which may have begun in an earlier call, and moves behind it. Whether it is complete.
#[inline(always)]
fn complete(half: &mut Half, call: &Call, at: &mut u32) -> bool {
    let from = call.buffer.wrapping_add(u64::from(*at));
    let left = call.length - *at;
    if half.header_bytes == 0 && left >= HEADER {
        // SAFETY: the helper writes four bytes.
        let failed = unsafe {
            bpf_probe_read_user((&raw mut half.header).cast(), LOOKED_AT, from as *const _)
        };
        *at += HEADER;
        if failed != 0 {
            half.walk |= LOST;
        }
        return failed == 0;
    }
    // One byte after the other: rare.
    let mut word = half.header;
    let mut have = u32::from(half.header_bytes);
    for taken in 0..HEADER {
        if have >= HEADER || taken >= left {
            break;
        }
        if have < LOOKED_AT {
            let mut byte = 0u8;
            let to: *mut u8 = &raw mut byte;
            let from = from.wrapping_add(u64::from(taken));
            // SAFETY: the helper writes one byte.
            if unsafe { bpf_probe_read_user(to.cast(), 1, from as *const _) } != 0 {
                half.walk |= LOST;
                return false;
            }
            word |= u32::from(byte) << (8 * have);
        }
        have += 1;
        *at += 1;
    }
    half.header = word;
    half.header_bytes = have as u8;
    have >= HEADER
}

/// Hands on a range of the plaintext, in pieces.
#[inline(always)]
fn between(caller: &Caller, (mut start, end): (u32, u32)) {
    for piece in 0..MOST_PIECES {
        if start >= end {
            return;
        }
        let left = end - start;
        // The last one says by its length how much did not fit.
        let length = if left > MOST_CAPTURED as u32 && piece + 1 < MOST_PIECES {
            MOST_CAPTURED as u32
        } else {
            left
        };
        hand_on(caller, protocol::HTTP2, (start, length));
        start += length;
    }
}
