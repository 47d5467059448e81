//! What the first bytes of a segment look like.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};

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

#[inline(always)]
pub(super) fn begins(ctx: &SkBuffContext, segment: &Segment) -> Begins {
    let mut words = [0u64; 2];
    let to: *mut [u64; 2] = &raw mut words;
    if segment.length < LOOKED_AT {
        return begins_short(ctx, segment);
    }
    // SAFETY: the helper writes as many bytes as there is room for.
    let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), segment.payload, to.cast(), LOOKED_AT) };
    if failed != 0 {
        return Begins::Other;
    }
    let [first, second] = words;
    if first & bytes(7) == word(b"HTTP/1.\0") {
        Begins::Answer
    } else if is_request(first, second) {
        Begins::Request
    } else if first == word(b"PRI * HT") {
        Begins::Http2
    } else if first & 0xffff == 0x0316 && (first >> 40) & 0xff == 1 {
        Begins::Hello
    } else {
        Begins::Other
    }
}

/// A method, a space, and what a request's target begins with.
#[inline(always)]
fn is_request(first: u64, second: u64) -> bool {
    let after = |length: u32| is_target((first >> (8 * length)) & 0xff);
    let is = |name: &[u8; 8], length: u32| first & bytes(length) == word(name);
    (is(b"GET \0\0\0\0", 4) && after(4))
        || (is(b"POST \0\0\0", 5) && after(5))
        || (is(b"PUT \0\0\0\0", 4) && after(4))
        || (is(b"HEAD \0\0\0", 5) && after(5))
        || (is(b"DELETE \0", 7) && after(7))
        || (is(b"PATCH \0\0", 6) && after(6))
        || (is(b"TRACE \0\0", 6) && after(6))
        || (first == word(b"OPTIONS ") && is_target(second & 0xff))
        || (first == word(b"CONNECT ")
            && (second & 0xff) as u8 > b' '
            && (second & 0xff) as u8 != b'{')
}

/// A path, `*`, or a whole URL.
#[inline(always)]
fn is_target(byte: u64) -> bool {
    matches!(byte as u8, b'/' | b'*' | b'h' | b'H')
}

/// So few bytes are a request line only in pieces.
#[inline(always)]
fn begins_short(ctx: &SkBuffContext, segment: &Segment) -> Begins {
    let mut first = 0u8;
    let to: *mut u8 = &raw mut first;
    // SAFETY: the helper writes one byte.
    let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), segment.payload, to.cast(), 1) };
    if failed == 0 && matches!(first, b'G' | b'P' | b'H' | b'D' | b'O' | b'C' | b'T') {
        Begins::Request
    } else {
        Begins::Other
    }
}

/// Ones in the first `count` bytes.
const fn bytes(count: u32) -> u64 {
    (1 << (8 * count)) - 1
}

const fn word(text: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*text)
}
