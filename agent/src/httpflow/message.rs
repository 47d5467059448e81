//! Heads of messages: what is read of them, and nothing else.

use std::mem::MaybeUninit;

use super::privacy::Redaction;

/// A path is cut after so many bytes.
pub(super) const MOST_PATH: usize = 150;
/// A name in the DNS is no longer (RFC 1035, 2.3.4).
const MOST_HOST: usize = 253;
/// Lines of a head that are read; of more, only the first line is.
const MOST_HEADERS: usize = 128;

/// In place of a method that is none of the registered ones.
const OTHER_METHOD: &str = "_OTHER";
/// In place of what an HTTP/2 sender named before the agent looked.
pub(super) const UNKNOWN: &str = "~unknown";

/// Of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// In rows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }

    const fn of_minor(minor: u8) -> Self {
        if minor == 0 {
            Self::Http10
        } else {
            Self::Http11
        }
    }
}

/// The trace that a request belongs to (W3C Trace Context, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: [u8; 16],
    /// The caller's span.
    pub parent: [u8; 8],
    /// Whether the caller records it.
    pub sampled: bool,
}

impl TraceParent {
    /// `None` if it is not valid, and then it is to be ignored.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (version, rest) = value.split_at_checked(2)?;
        let is_first = version == b"00";
        if !is_first && (version == b"ff" || hex::<1>(version).is_none()) {
            return None;
        }
        let dashed = |at: usize| rest.get(at) == Some(&b'-');
        if !(dashed(0) && dashed(33) && dashed(50)) {
            return None;
        }
        // A later version may have more.
        if rest.len() != 53 && (is_first || !dashed(53)) {
            return None;
        }
        let [flags] = hex(rest.get(51..53)?)?;
        let (trace, parent) = (hex(rest.get(1..33)?)?, hex(rest.get(34..50)?)?);
        let is_valid = trace != [0; 16] && parent != [0; 8];
        is_valid.then_some(Self {
            trace,
            parent,
            sampled: flags & 1 != 0,
        })
    }
}

/// Lower-case digits, as the standard wants them.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != N {
        return None;
    }
    for (to, [high, low]) in bytes.iter_mut().zip(pairs) {
        *to = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// What is kept of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// A registered one, or `_OTHER`.
    pub method: &'static str,
    /// Without query, at most 150 bytes; empty for CONNECT.
    pub path: Box<str>,
    /// Whether the path was longer.
    pub truncated: bool,
    /// Of the request.
    pub version: Version,
    /// The name that it is for, lower case and without port; only of requests that the local end has sent.
    pub host: Option<Box<str>>,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}

impl Request {
    /// `target` is the path with what follows, a whole URL, or what else a method may have there.
    pub(super) fn new(
        method: &[u8],
        target: &str,
        version: Version,
        redactions: &[Redaction],
    ) -> Self {
        let method = known_method(method);
        let path = if method == "CONNECT" {
            ""
        } else {
            path_of(target)
        };
        let redacted = redactions.iter().find_map(|pattern| pattern.apply(path));
        let path = redacted.as_deref().unwrap_or(path);
        let cut = path.floor_char_boundary(MOST_PATH);
        Self {
            method,
            path: path[..cut].into(),
            truncated: cut < path.len(),
            version,
            host: None,
            trace: None,
        }
    }

    /// Takes over the name of the server, if it is one.
    pub(super) fn set_host(&mut self, host: &[u8]) {
        self.host = host_name(host);
    }
}

/// The path of a request's target (RFC 9112, 3.2): without scheme and authority, query and fragment.
fn path_of(target: &str) -> &str {
    let path = match target.find("://") {
        Some(at) if !target.starts_with('/') => {
            let rest = &target[at + 3..];
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        _ => target,
    };
    let end = memchr::memchr2(b'?', b'#', path.as_bytes()).unwrap_or(path.len());
    match &path[..end] {
        "" => "/",
        path => path,
    }
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

/// A name in lower case, without port; `None` for addresses and for what is no name.
pub(super) fn host_name(host: &[u8]) -> Option<Box<str>> {
    let host = host.trim_ascii();
    let end = memchr::memchr(b':', host).unwrap_or(host.len());
    let host = host[..end].strip_suffix(b".").unwrap_or(&host[..end]);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if host.is_empty() || host.len() > MOST_HOST || !host.iter().all(is_name) {
        return None;
    }
    // What ends in a number is an address, or nothing (RFC 1123, 2.1).
    let last = host.rsplit(|byte| *byte == b'.').next()?;
    if last.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let name = str::from_utf8(host).ok()?;
    Some(name.to_ascii_lowercase().into())
}

/// The methods of RFC 9110, PATCH, QUERY and those of WebDAV: they are few, and so are their rows.
fn known_method(method: &[u8]) -> &'static str {
    const KNOWN: [&str; 20] = [
        "GET",
        "POST",
        "HEAD",
        "PUT",
        "DELETE",
        "PATCH",
        "OPTIONS",
        "CONNECT",
        "TRACE",
        "QUERY",
        "PROPFIND",
        "PROPPATCH",
        "MKCOL",
        "COPY",
        "MOVE",
        "LOCK",
        "UNLOCK",
        "REPORT",
        "SEARCH",
        UNKNOWN,
    ];
    KNOWN
        .into_iter()
        .find(|known| known.as_bytes() == method)
        .unwrap_or(OTHER_METHOD)
}

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

#[cfg(test)]
mod tests;
