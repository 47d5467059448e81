//! HTTP/2: everything but the payload of large DATA frames.

use aya_ebpf::{
    EbpfContext as _, bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes,
    programs::SkBuffContext,
};
use weir_ebpf_common::http::{
    MOST_CAPTURED, protocol,
    words::{is_headers, is_preface},
};

use super::{Stream, first::words, half::Half, hand_on::hand_on, segment::Segment};

/// Of a frame's header (RFC 9113, 4.1): length (3), type (1), flags (1), stream (4).
const HEADER: u32 = 9;
/// Of the type.
const DATA: u32 = 0;
/// The client's preface, before its first frame.
const PREFACE: u32 = 24;
/// To leave out less is not worth a piece of its own.
const LARGE: u32 = 1024;
/// Frames looked at between two large ones, and large ones in one segment. Where there are more, the stream's frames
/// are lost sight of, and everything is handed on from then on.
const MOST_FRAMES: u32 = 24;
const MOST_LARGE: u32 = 6;
/// Pieces of what lies between two large frames.
const MOST_PIECES: u32 = 4;
/// In [`Half::walk`]: frames were lost sight of.
const LOST: u8 = 1;
/// In [`Half::walk`]: the first frame was looked for.
const BEGUN: u8 = 2;

/// Where a walk over frames has come to.
enum Step {
    /// A large DATA frame: its header ends here, and its payload there.
    Large(u32, u32),
    /// There is no further one in this segment.
    Done,
}

/// Hands on what lies between the payloads of large DATA frames.
#[inline(always)]
pub(super) fn frames(ctx: &SkBuffContext, stream: &mut Stream, (is_sent, is_turn): (bool, bool)) {
    let _none = http_frames(ctx.skb.skb, stream, u32::from(is_sent), u32::from(is_turn));
}

/// A function of its own for the verifier: see `http_hand_on`.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn http_frames(
    skb: *mut __sk_buff,
    stream: *mut Stream,
    is_sent: u32,
    is_turn: u32,
) -> i32 {
    let ctx = SkBuffContext::new(skb);
    // SAFETY: the verifier sees to it that there is a stream behind it, or null.
    if let (Some(stream), Some(segment)) = (unsafe { stream.as_mut() }, Segment::of(&ctx)) {
        go_over(&ctx, stream, &segment, (is_sent == 1, is_turn == 1));
    }
    0
}

#[inline(always)]
fn go_over(
    ctx: &SkBuffContext,
    stream: &mut Stream,
    segment: &Segment,
    (is_sent, is_turn): (bool, bool),
) {
    let half = stream.half(is_sent);
    let mut at = 0;
    let mut start = 0;
    if half.walk == 0 {
        half.walk = BEGUN;
        // The client's first frame comes after its preface; a server has none.
        if is_preface(words(ctx, segment)[0]) {
            at = PREFACE;
        }
    }
    // Where the other end has spoken before, frames of this one are likely to begin.
    if is_turn && half.walk & LOST != 0 {
        let [first, second] = words(ctx, segment);
        if is_headers(first, second) {
            half.walk = BEGUN;
            (half.skip, half.pass, half.cut_length) = (0, 0, 0);
        }
    }
    if half.skip >= segment.length {
        half.skip -= segment.length;
        return;
    }
    if half.skip > 0 {
        (at, start) = (half.skip, half.skip);
        half.skip = 0;
    }
    for _ in 0..MOST_LARGE {
        let step = walk(ctx, stream.half(is_sent), segment, &mut at);
        let end = match step {
            Step::Large(end, _) => end,
            Step::Done => segment.length,
        };
        between(ctx, is_sent, (start, end));
        let Step::Large(_, next) = step else { return };
        if next >= segment.length {
            stream.half(is_sent).skip = next - segment.length;
            return;
        }
        (at, start) = (next, next);
    }
    stream.half(is_sent).walk |= LOST;
    between(ctx, is_sent, (start, segment.length));
}

/// Goes from frame to frame until a large DATA frame.
#[inline(always)]
fn walk(ctx: &SkBuffContext, half: &mut Half, segment: &Segment, at: &mut u32) -> Step {
    if half.walk & LOST != 0 {
        return Step::Done;
    }
    if half.cut_length > 0 {
        let cut = u32::from(half.cut_length);
        let header = half.cut | word(ctx, segment, *at) >> (8 * cut);
        half.cut_length = 0;
        // It is handed on, even if it is a large one: that is right, only dearer.
        *at += HEADER - cut + (header >> 8);
    }
    // A frame that is not left out and ends in a later segment.
    if half.pass > 0 {
        *at = at.wrapping_add(half.pass);
        half.pass = 0;
    }
    for _ in 0..MOST_FRAMES {
        if *at >= segment.length {
            half.pass = *at - segment.length;
            return Step::Done;
        }
        let left = segment.length - *at;
        if left < 4 {
            // The last four bytes, as far as they are of this frame.
            let last = word(ctx, segment, segment.length.wrapping_sub(4));
            (half.cut, half.cut_length) = (last << (8 * (4 - left)), left as u8);
            return Step::Done;
        }
        let header = word(ctx, segment, *at);
        let (length, kind) = (header >> 8, header & 0xff);
        let end = *at + HEADER;
        if kind == DATA && length >= LARGE && left >= HEADER {
            return Step::Large(end, end + length);
        }
        *at = end + length;
    }
    half.walk |= LOST;
    Step::Done
}

/// Four bytes of the payload; zeros if there are none.
#[inline(always)]
fn word(ctx: &SkBuffContext, segment: &Segment, at: u32) -> u32 {
    let mut bytes = 0u32;
    let to: *mut u32 = &raw mut bytes;
    // SAFETY: the helper writes four bytes, zeros if it fails.
    let _failed =
        unsafe { bpf_skb_load_bytes(ctx.as_ptr(), segment.payload.wrapping_add(at), to.cast(), 4) };
    u32::from_be(bytes)
}

/// Hands on a range of the payload, in pieces.
#[inline(always)]
fn between(ctx: &SkBuffContext, is_sent: bool, (mut start, end): (u32, u32)) {
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
        hand_on(ctx, (is_sent, protocol::HTTP2), (start, length));
        start += length;
    }
}
