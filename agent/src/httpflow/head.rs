//! Heads of HTTP/1: what is read of them, and nothing else.

use std::mem::MaybeUninit;

use super::{
    message::{Request, TraceParent, Version},
    privacy::Redaction,
};

/// Lines of a head that are read; of more, only the first line is.
const MOST_HEADERS: usize = 128;

/// How the end of a message's body is known (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// It has so many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// A request has none then, and an answer's goes on until the connection ends.
    Unsaid,
    /// The head was not read to its end.
    Unseen,
}

/// What a head was found to be.
#[derive(Debug)]
pub(super) enum Parsed<T> {
    /// With its length in bytes.
    Whole(T, usize),
    /// Its end has not come.
    Partial,
    /// Not HTTP.
    Wrong,
}

#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) request: Request,
    pub(super) framing: Framing,
    /// `Expect: 100-continue`: the body may never come.
    pub(super) asks_first: bool,
}

#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) status: u16,
    pub(super) framing: Framing,
    /// Of status 101: the connection goes on as HTTP/2.
    pub(super) to_http2: bool,
}

type Headers<'a> = [MaybeUninit<httparse::Header<'a>>; MOST_HEADERS];

/// A request's head. `wants_host` only if the name is of use.
pub(super) fn request_head(
    bytes: &[u8],
    wants_host: bool,
    redactions: &[Redaction],
) -> Parsed<RequestHead> {
    let mut headers: Headers<'_> = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut head = httparse::Request::new(&mut []);
    let length = match head.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete(length)) => Some(length),
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(httparse::Error::TooManyHeaders) => None,
        Err(_) => return Parsed::Wrong,
    };
    let (Some(method), Some(target), Some(minor)) = (head.method, head.path, head.version) else {
        return Parsed::Wrong;
    };
    let version = Version::of_minor(minor);
    let mut request = Request::new(method.as_bytes(), target, version, redactions);
    let Some(length) = length else {
        let head = RequestHead {
            request,
            framing: Framing::Unseen,
            asks_first: false,
        };
        return Parsed::Whole(head, bytes.len());
    };
    let mut asks_first = false;
    let mut framing = Framing::Unsaid;
    for header in head.headers.iter() {
        match Header::of(header.name) {
            Some(Header::Host) if wants_host => request.set_host(header.value),
            Some(Header::TraceParent) => {
                request.trace = TraceParent::parse(header.value.trim_ascii())
            }
            Some(Header::Expect) => asks_first = header.value.eq_ignore_ascii_case(b"100-continue"),
            Some(known) => framing = framing.with(known, header.value),
            None => {}
        }
    }
    if wants_host && let Some(host) = host_of(target) {
        request.set_host(host.as_bytes());
    }
    Parsed::Whole(
        RequestHead {
            request,
            framing,
            asks_first,
        },
        length,
    )
}

/// An answer's head.
pub(super) fn answer_head(bytes: &[u8]) -> Parsed<AnswerHead> {
    let mut headers: Headers<'_> = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .parse_response_with_uninit_headers(&mut head, bytes, &mut headers);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => Some(length),
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(httparse::Error::TooManyHeaders) => None,
        Err(_) => return Parsed::Wrong,
    };
    let Some(status @ 100..=999) = head.code else {
        return Parsed::Wrong;
    };
    let mut to_http2 = false;
    let mut framing = if length.is_some() {
        Framing::Unsaid
    } else {
        Framing::Unseen
    };
    for header in head.headers.iter() {
        match Header::of(header.name) {
            Some(Header::Upgrade) => to_http2 = header.value.eq_ignore_ascii_case(b"h2c"),
            Some(known) => framing = framing.with(known, header.value),
            None => {}
        }
    }
    Parsed::Whole(
        AnswerHead {
            status,
            framing,
            to_http2,
        },
        length.unwrap_or(bytes.len()),
    )
}

/// The headers that are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    Host,
    ContentLength,
    TransferEncoding,
    Upgrade,
    Expect,
    TraceParent,
}

impl Header {
    fn of(name: &str) -> Option<Self> {
        let (known, header) = match name.len() {
            4 => ("host", Self::Host),
            6 => ("expect", Self::Expect),
            7 => ("upgrade", Self::Upgrade),
            11 => ("traceparent", Self::TraceParent),
            14 => ("content-length", Self::ContentLength),
            17 => ("transfer-encoding", Self::TransferEncoding),
            _ => return None,
        };
        name.eq_ignore_ascii_case(known).then_some(header)
    }
}

impl Framing {
    fn with(self, header: Header, value: &[u8]) -> Self {
        match header {
            Header::TransferEncoding => {
                let last = value.rsplit(|byte| *byte == b',').next().unwrap_or(value);
                if last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    Self::Chunked
                } else {
                    self
                }
            }
            Header::ContentLength if self == Self::Unsaid => {
                let length = str::from_utf8(value.trim_ascii()).ok();
                let length = length.and_then(|length| length.parse().ok());
                length.map_or(Self::Unseen, Self::Length)
            }
            _ => self,
        }
    }
}

/// The lines of a head that came whole, as a head: what is left when the rest of it was not captured. `None` if not
/// even the first line did.
pub(super) fn cut_head(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = memchr::memrchr(b'\n', bytes)? + 1;
    let mut head = bytes[..end].to_vec();
    head.extend(b"\r\n");
    Some(head)
}

/// Whether the bytes may become a request: they are the beginning of one.
pub(super) fn may_be_request(bytes: &[u8]) -> bool {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    // All of the first line, up to what is of interest: a version, where it has come.
    let line = &bytes[..end];
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let method = parts.next().unwrap_or_default();
    if method.is_empty() || !method.iter().all(u8::is_ascii_uppercase) {
        return false;
    }
    match (parts.next(), parts.next()) {
        (Some(_), Some(version)) => {
            let version = version.strip_suffix(b"\r").unwrap_or(version);
            version.starts_with(b"HTTP/1.") || b"HTTP/1.".starts_with(version)
        }
        _ => end == bytes.len(),
    }
}

/// Whether the bytes may become an answer.
pub(super) fn may_be_answer(bytes: &[u8]) -> bool {
    let begins = b"HTTP/1.";
    !bytes.is_empty() && (bytes.starts_with(begins) || begins.starts_with(bytes))
}

/// The host of a target that is a whole URL, which is to be taken before the header (RFC 9112, 3.2.2).
fn host_of(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return None;
    }
    let rest = &target[target.find("://")? + 3..];
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    Some(authority.rsplit('@').next().unwrap_or(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_whole_url_wins() {
        let head = b"GET http://me@right:81/x HTTP/1.1\r\nHost: wrong\r\n\r\n";
        let Parsed::Whole(head, _) = request_head(head, true, &[]) else {
            panic!("not read");
        };
        assert_eq!(head.request.host.as_deref(), Some("right"));
    }
}
