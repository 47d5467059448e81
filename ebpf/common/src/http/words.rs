//! What bytes look like, read as words in the order of memory: the kernel has no time for one byte after the other.
//!
//! Little endian: so are the processors that the programs are built for.

use core::mem::size_of;

const BYTE: u32 = 8;
const WORD: u32 = size_of::<u64>() as u32;

/// Whether 16 bytes begin with a status line of HTTP/1.
#[inline(always)]
#[must_use]
pub const fn is_answer(first: u64) -> bool {
    first & bytes(7) == word(b"HTTP/1.\0")
}

/// Whether 16 bytes begin with a method of HTTP/1, a space, and what a request's target begins with.
#[inline(always)]
#[must_use]
pub const fn is_request(first: u64, second: u64) -> bool {
    is(first, b"GET \0\0\0\0", 4)
        || is(first, b"POST \0\0\0", 5)
        || is(first, b"PUT \0\0\0\0", 4)
        || is(first, b"HEAD \0\0\0", 5)
        || is(first, b"DELETE \0", 7)
        || is(first, b"PATCH \0\0", 6)
        || is(first, b"TRACE \0\0", 6)
        || (first == word(b"OPTIONS ") && is_target(second))
        // A host and a port.
        || (first == word(b"CONNECT ") && second as u8 > b' ' && second as u8 != b'{')
}

/// Whether a byte, and zeros after it, may become a request line: so few bytes are one only in pieces.
#[inline(always)]
#[must_use]
pub const fn is_begun(first: u64) -> bool {
    first <= u8::MAX as u64 && matches!(first as u8, b'G' | b'P' | b'H' | b'D' | b'O' | b'C' | b'T')
}

/// Whether 16 bytes begin like the preface of an HTTP/2 client (RFC 9113, 3.4).
#[inline(always)]
#[must_use]
pub const fn is_preface(first: u64) -> bool {
    first == word(b"PRI * HT")
}

/// Whether 9 bytes are the head of a SETTINGS frame that answers none: of at most 32 settings of six bytes, type 4, no
/// flags, stream 0. A server begins HTTP/2 with it, and need not wait for the preface (RFC 9113, 3.4 and 6.5).
#[inline(always)]
#[must_use]
pub const fn is_settings(first: u64, second: u64) -> bool {
    let length = first.swap_bytes() >> 40;
    first >> 24 == 4 && second as u8 == 0 && length.is_multiple_of(6) && length <= 6 * 32
}

/// The highest bit of each byte of `word` that is `byte`.
#[inline(always)]
#[must_use]
pub const fn where_is(byte: u8, word: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let zero = word ^ u64::from_le_bytes([byte; 8]);
    !(((zero & LOW) + LOW) | zero | LOW)
}

/// The first of the bytes marked by [`where_is`]: a one at its lowest bit, and its index. Something must be marked.
#[inline(always)]
#[must_use]
pub const fn first_of(marks: u64) -> (u64, u64) {
    let first = (marks & marks.wrapping_neg()) >> (BYTE - 1);
    // Byte n of the factor, from the highest, is n: the multiplication shifts it to the top.
    let index = first.wrapping_mul(0x0001_0203_0405_0607) >> (BYTE * (WORD - 1));
    (first, index)
}

#[inline(always)]
const fn is(first: u64, name: &[u8; 8], length: u32) -> bool {
    first & bytes(length) == word(name) && is_target(first >> (BYTE * length))
}

/// A path, `*`, or a whole URL.
#[inline(always)]
const fn is_target(bytes: u64) -> bool {
    matches!(bytes as u8, b'/' | b'*' | b'h' | b'H')
}

/// Ones in the first `count` bytes.
const fn bytes(count: u32) -> u64 {
    (1 << (BYTE * count)) - 1
}

const fn word(text: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two(text: &str) -> (u64, u64) {
        let mut bytes = [b'x'; 16];
        let length = text.len().min(16);
        bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        let [first, second] = [0, 8].map(|at| {
            let word: [u8; 8] = bytes[at..at + 8].try_into().unwrap();
            u64::from_le_bytes(word)
        });
        (first, second)
    }

    #[test]
    fn every_method_with_a_target_is_a_request_and_what_looks_similar_is_none() {
        for line in [
            "GET / HTTP/1.1",
            "GET http://a/ HTTP",
            "POST /a HTTP/1.1",
            "PUT /a HTTP/1.1",
            "HEAD / HTTP/1.1",
            "DELETE /a HTTP/1.1",
            "PATCH /a HTTP/1.1",
            "TRACE / HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "CONNECT a:443 HTTP/1.1",
        ] {
            let (first, second) = two(line);
            assert!(is_request(first, second), "{line}");
            assert!(!is_answer(first), "{line}");
        }
        for line in [
            "GET  / HTTP/1.1",
            "GETS / HTTP/1.1",
            "get / HTTP/1.1",
            "OPTIONS {\"a\":1}",
            "CONNECT {\"verbose\"",
            "HTTP/1.1 200 OK",
            "PRI * HTTP/2.0",
        ] {
            let (first, second) = two(line);
            assert!(!is_request(first, second), "{line}");
        }
        assert!(is_answer(two("HTTP/1.0 404 Not").0));
        assert!(is_preface(two("PRI * HTTP/2.0\r\n").0));
        let settings =
            |length: u8, flags: u8| u64::from_le_bytes([0, 0, length, 4, flags, 0, 0, 0]);
        assert!(is_settings(settings(0, 0), 0) && is_settings(settings(18, 0), 0xff00));
        assert!(!is_settings(settings(0, 1), 0) && !is_settings(settings(7, 0), 0));
        assert!(!is_settings(settings(198, 0), 0) && !is_settings(settings(6, 0), 1));
        assert!(is_begun(u64::from(b'G')) && !is_begun(u64::from(b'x')));
        assert!(!is_begun(two("GET / HTTP/1.1").0));
    }

    #[test]
    fn a_byte_is_found_wherever_it_stands_and_nothing_else_is() {
        // Neighbours of what is looked for are what cheaper tricks stumble over.
        let others = [0, 1, b' ' - 1, b' ' + 1, 0x7f, 0x80, 0xa0, 0xff];
        for other in others {
            assert_eq!(where_is(b' ', u64::from_le_bytes([other; 8])), 0);
            for at in 0..8_usize {
                let mut bytes = [other; 8];
                bytes[at] = b' ';
                let marks = where_is(b' ', u64::from_le_bytes(bytes));
                assert_eq!(marks, 0x80 << (8 * at), "{bytes:?}");
                assert_eq!(first_of(marks), (1 << (8 * at), at as u64));
                bytes[7] = b' ';
                let marks = where_is(b' ', u64::from_le_bytes(bytes));
                assert_eq!(first_of(marks).1, at as u64, "{bytes:?}");
            }
        }
    }
}
