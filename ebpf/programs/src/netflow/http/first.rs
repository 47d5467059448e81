//! What the first bytes of a segment look like.

use core::mem::MaybeUninit;

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use weir_ebpf_common::http::words::{is_answer, is_begun, is_preface, is_request};

use super::segment::Segment;

/// Bytes that are looked at.
const LOOKED_AT: u32 = 16;

/// The beginning of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// A request line of HTTP/1, or so few bytes that it may become one.
    Request,
    /// A status line of HTTP/1.
    Answer,
    /// The preface of an HTTP/2 client (RFC 9113, 3.4).
    Http2,
    /// A TLS record with a ClientHello (RFC 8446, 4.1.2 and 5.1).
    Hello,
    /// Something else.
    Other,
}

/// The first bytes of a segment. Zeros follow the only one that is looked at in a segment that is shorter.
#[inline(always)]
pub(super) fn words(ctx: &SkBuffContext, segment: &Segment) -> [u64; 2] {
    // Not zeroed before: the compiler would call a function for it.
    let mut words = MaybeUninit::<[u64; 2]>::uninit();
    if segment.length < LOOKED_AT {
        return [first_byte(ctx, segment), 0];
    }
    // SAFETY: the helper writes as many bytes as there is room for, zeros if it fails.
    unsafe {
        let _failed = bpf_skb_load_bytes(
            ctx.as_ptr(),
            segment.payload,
            words.as_mut_ptr().cast(),
            LOOKED_AT,
        );
        words.assume_init()
    }
}

#[inline(always)]
fn first_byte(ctx: &SkBuffContext, segment: &Segment) -> u64 {
    let mut first = 0u8;
    let to: *mut u8 = &raw mut first;
    // SAFETY: the helper writes one byte.
    let _failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), segment.payload, to.cast(), 1) };
    u64::from(first)
}

#[inline(always)]
pub(super) fn begins([first, second]: [u64; 2]) -> Begins {
    if is_answer(first) {
        Begins::Answer
    } else if is_request(first, second) || (second == 0 && is_begun(first)) {
        Begins::Request
    } else if is_preface(first) {
        Begins::Http2
    } else if first & 0xffff == 0x0316 && (first >> 40) & 0xff == 1 {
        Begins::Hello
    } else {
        Begins::Other
    }
}
