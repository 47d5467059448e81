//! What the first bytes of plaintext look like.

use aya_ebpf::helpers::generated::bpf_probe_read_user;

/// Bytes that are looked at.
const LOOKED_AT: u32 = 16;
/// The longest SETTINGS frame that a connection begins with: this many settings of six bytes.
const MOST_SETTINGS: u64 = 32;

/// The beginning of plaintext.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// A request line of HTTP/1, or so few bytes that it may become one.
    Request,
    /// A status line of HTTP/1.
    Answer,
    /// The preface of an HTTP/2 client (RFC 9113, 3.4).
    Preface,
    /// The SETTINGS frame that a server begins HTTP/2 with (RFC 9113, 6.5); it need not wait for the preface.
    Settings,
    /// Something else.
    Other,
}

#[inline(always)]
pub(crate) fn begins(buffer: u64, length: u32) -> Begins {
    let mut words = [0u64; 2];
    let to: *mut [u64; 2] = &raw mut words;
    if length < 9 {
        return begins_short(buffer);
    }
    let want = if length < LOOKED_AT { 9 } else { LOOKED_AT };
    // SAFETY: the helper writes as many bytes as there is room for.
    let failed = unsafe { bpf_probe_read_user(to.cast(), want, buffer as *const _) };
    if failed != 0 {
        return Begins::Other;
    }
    let [first, second] = words;
    if first & bytes(7) == word(b"HTTP/1.\0") {
        Begins::Answer
    } else if is_request(first, second) {
        Begins::Request
    } else if first == word(b"PRI * HT") {
        Begins::Preface
    } else if is_settings(first, second) {
        Begins::Settings
    } else {
        Begins::Other
    }
}

/// Length (24 bits), type 4, no flags, stream 0.
#[inline(always)]
fn is_settings(first: u64, second: u64) -> bool {
    let length = first.swap_bytes() >> 40;
    first >> 24 == 4
        && second & 0xff == 0
        && length.is_multiple_of(6)
        && length <= 6 * MOST_SETTINGS
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
fn begins_short(buffer: u64) -> Begins {
    let mut first = 0u8;
    let to: *mut u8 = &raw mut first;
    // SAFETY: the helper writes one byte.
    let failed = unsafe { bpf_probe_read_user(to.cast(), 1, buffer as *const _) };
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
