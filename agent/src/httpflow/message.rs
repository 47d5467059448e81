//! Requests: what is kept of them, and nothing else.

use super::privacy::Redaction;

/// A path is cut after so many bytes.
pub(super) const MOST_PATH: usize = 150;
/// A name in the DNS is no longer (RFC 1035, 2.3.4).
const MOST_HOST: usize = 253;
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

    pub(super) const fn of_minor(minor: u8) -> Self {
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
    let scheme = if target.starts_with('/') {
        None
    } else {
        target.find("://")
    };
    let path = match scheme {
        Some(at) => {
            let rest = &target[at + 3..];
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        None => target,
    };
    let end = memchr::memchr2(b'?', b'#', path.as_bytes()).unwrap_or(path.len());
    match &path[..end] {
        "" => "/",
        path => path,
    }
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

#[cfg(test)]
mod tests;
