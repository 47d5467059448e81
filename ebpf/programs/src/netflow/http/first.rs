//! What the first bytes of a segment look like.

use core::mem::MaybeUninit;

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use weir_ebpf_common::http::words::{is_answer, is_begun, is_preface, is_request, is_settings};

use super::segment::Segment;

/// Bytes that are looked at.
const LOOKED_AT: u32 = 16;

/// The bits of a [`status`] that have the code.
pub(super) const CODE: u32 = 0xffff;
/// Set in a [`status`] of HTTP/1.0.
pub(super) const OLD: u32 = 1 << 16;

/// The beginning of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// A request line of HTTP/1, or so few bytes that it may become one.
    Request,
    /// A status line of HTTP/1.
    Answer,
    /// The preface of an HTTP/2 client, or the SETTINGS frame of a server (RFC 9113, 3.4).
    Http2,
    /// A TLS record with a ClientHello (RFC 8446, 4.1.2 and 5.1).
    Hello,
    /// Something else.
    Other,
}

/// The first 16 bytes of a segment. Of a shorter one 9 or 1, and zeros after them.
#[inline(always)]
pub(super) fn words(ctx: &SkBuffContext, segment: &Segment) -> [u64; 2] {
    // Not zeroed before: the compiler would call a function for it.
    let mut words = MaybeUninit::<[u64; 2]>::uninit();
    let to = words.as_mut_ptr().cast::<u64>();
    if segment.length >= LOOKED_AT {
        load(ctx, segment, to, LOOKED_AT);
    } else {
        // SAFETY: there is room for two.
        unsafe {
            to.write_volatile(0);
            to.add(1).write_volatile(0);
        }
        // So few bytes are a request line only in pieces.
        load(ctx, segment, to, if segment.length < 9 { 1 } else { 9 });
    }
    // SAFETY: the helper has written them, zeros if it failed.
    unsafe { words.assume_init() }
}

#[inline(always)]
fn load(ctx: &SkBuffContext, segment: &Segment, to: *mut u64, length: u32) {
    // SAFETY: there is room for 16 bytes, and no more are asked for.
    let _failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), segment.payload, to.cast(), length) };
}

#[inline(always)]
pub(super) fn begins([first, second]: [u64; 2]) -> Begins {
    if is_answer(first) {
        Begins::Answer
    } else if is_request(first, second) || (second == 0 && is_begun(first)) {
        Begins::Request
    } else if is_preface(first) || is_settings(first, second) {
        Begins::Http2
    } else if first & 0xffff == 0x0316 && (first >> 40) & 0xff == 1 {
        Begins::Hello
    } else {
        Begins::Other
    }
}

/// The status code of an answer that begins so, and [`OLD`] if its version is 1.0.
#[inline(always)]
pub(super) fn status([first, second]: [u64; 2]) -> Option<u32> {
    // `HTTP/1.1 200`
    let [space, hundreds, tens, ones, ..] = second.to_le_bytes();
    let digit = |byte: u8| u32::from(byte.wrapping_sub(b'0'));
    let (hundreds, tens, ones) = (digit(hundreds), digit(tens), digit(ones));
    if space != b' ' || hundreds > 9 || tens > 9 || ones > 9 {
        return None;
    }
    let version = if (first >> 56) as u8 == b'0' { OLD } else { 0 };
    Some((hundreds * 100 + tens * 10 + ones) | version)
}
