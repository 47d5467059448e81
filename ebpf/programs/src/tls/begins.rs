//! What the first bytes of plaintext look like.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use weir_ebpf_common::http::words::{is_answer, is_begun, is_preface, is_request, is_settings};

/// Bytes that are looked at.
const LOOKED_AT: u32 = 16;

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
    let want = match length {
        // So few bytes are a request line only in pieces.
        0..9 => 1,
        9..LOOKED_AT => 9,
        _ => LOOKED_AT,
    };
    // SAFETY: the helper writes as many bytes as there is room for.
    let failed = unsafe { bpf_probe_read_user(to.cast(), want, buffer as *const _) };
    if failed != 0 {
        return Begins::Other;
    }
    let [first, second] = words;
    if is_answer(first) {
        Begins::Answer
    } else if is_request(first, second) || (second == 0 && is_begun(first)) {
        Begins::Request
    } else if is_preface(first) {
        Begins::Preface
    } else if is_settings(first, second) {
        Begins::Settings
    } else {
        Begins::Other
    }
}
