//! What a request is counted by.

use core::arch::asm;

use aya_ebpf::programs::SkBuffContext;
use weir_ebpf_common::http::{
    LINE, how,
    words::{first_of, where_is},
};

use super::{HEAD, Head};
use crate::http::segment::Segment;

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

/// The word at an index; words are looked at whole, byte by byte would take many times as long.
#[inline(always)]
fn word(words: *const u64, at: u64) -> u64 {
    match below(at, HEAD as u64 / 8) {
        // SAFETY: less than there are.
        Some(at) => unsafe { words.add(at).read_volatile() },
        None => 0,
    }
}

#[inline(always)]
fn set(line: *mut u64, at: u64, word: u64) {
    if let Some(at) = below(at, LINE as u64 / 8) {
        // SAFETY: less than there are.
        unsafe { line.add(at).write_volatile(word) };
    }
}

/// Copies method and path to the key. `length` is of the whole segment.
#[inline(always)]
pub(super) fn line(head: &mut Head, captured: u32, length: u32) -> Line {
    let from = (&raw const head.bytes).cast::<u64>();
    let to = (&raw mut head.key.line).cast::<u64>();
    let before = head.line;
    let (mut end, mut ended) = (LINE as u64, 0);
    let mut at = 0;
    while at < LINE as u64 / 8 {
        let word = word(from, at);
        let returns = where_is(b'\r', word);
        let mut stops = where_is(b' ', word) | where_is(b'?', word) | returns;
        if at == 0 {
            // The space after the method.
            stops &= stops.wrapping_sub(1);
        }
        if stops != 0 {
            let (first, index) = first_of(stops);
            if returns & (first << 7) != 0 {
                return Line::None;
            }
            set(to, at, word & (first - 1));
            (end, ended) = (at * 8 + index, 1);
            break;
        }
        set(to, at, word);
        at += 1;
    }
    // Through memory: what follows is verified once, and not for each length that a line can have.
    // SAFETY: fields of the head.
    let (end, ended) = unsafe {
        (&raw mut head.line).write_volatile(end as u32);
        (&raw mut head.reserved).write_volatile(ended);
        (
            u64::from((&raw const head.line).read_volatile()),
            (&raw const head.reserved).read_volatile(),
        )
    };
    // What was found must be of this request, and not of one before.
    if end + u64::from(ended) > u64::from(captured) {
        return Line::None;
    }
    // What an earlier and longer line has left.
    let mut zero = end / 8 + 1;
    while zero < LINE as u64 / 8 {
        if zero * 8 >= u64::from(before) {
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
    if length <= HEAD as u32 && is_several(from, end, captured) {
        return Line::None;
    }
    Line::Of {
        length: end as u32,
        truncated: ended == 0,
    }
}

/// Whether a request without a body is followed by something in the same segment: by another request.
#[inline(always)]
fn is_several(words: *const u64, from: u64, captured: u32) -> bool {
    if !matches!(word(words, 0) as u8, b'G' | b'H' | b'D' | b'O') {
        return false;
    }
    let mut before = 0;
    let mut at = from / 8;
    while at < HEAD as u64 / 8 {
        if at * 8 >= u64::from(captured) {
            return false;
        }
        let newlines = where_is(b'\n', word(words, at));
        // An empty line: one newline two bytes after another. Lines of one byte look the same; what is handed on
        // needlessly is counted as well.
        let empty = newlines & (newlines << 16 | before);
        if empty != 0 {
            let (_, index) = first_of(empty);
            return at * 8 + index + 1 < u64::from(captured);
        }
        before = newlines >> 48;
        at += 1;
    }
    false
}

/// Fills in who speaks with whom.
#[inline(always)]
pub(super) fn ends(
    ctx: &SkBuffContext,
    segment: &Segment,
    netns: u32,
    is_sent: bool,
    head: &mut Head,
) {
    let key = &mut head.key;
    let peers = segment.peers(ctx, is_sent, netns);
    (key.local, key.remote) = (peers.local, peers.remote);
    key.port = if is_sent {
        peers.remote_port
    } else {
        peers.local_port
    };
    key.family = segment.family;
    key.netns = netns;
    if !is_sent {
        key.how |= how::SERVER;
    }
}
