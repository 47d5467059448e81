//! Requests that the kernel has counted itself.

use std::net::{IpAddr, Ipv6Addr};

use weir_ebpf_common::http::{BOUNDS_NS, HttpKey, how};
use weir_proto::{LATENCY_BOUNDS_NS, flow::v1::Latency};

use super::{
    exchange::{Ends, Outcome, Reason},
    message::{Request, Version},
    privacy::Redaction,
};
use crate::netflow::kernel::Requests;

pub(super) const fn is_server(key: &HttpKey) -> bool {
    key.how & how::SERVER != 0
}

/// The ends; the client's port is not known and 0.
pub(super) fn ends(key: &HttpKey) -> Ends {
    let (local_port, remote_port) = if is_server(key) {
        (key.port, 0)
    } else {
        (0, key.port)
    };
    Ends {
        local: address(key.local, key.family),
        remote: address(key.remote, key.family),
        local_port,
        remote_port,
        netns: key.netns,
    }
}

/// An address of the kernel's. IPv4-mapped IPv6 is given as IPv4.
pub(super) fn address(words: [u32; 4], family: u16) -> IpAddr {
    if i32::from(family) == libc::AF_INET {
        return IpAddr::from(words[0].to_ne_bytes());
    }
    let mut bytes = [0; 16];
    for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    Ipv6Addr::from(bytes).to_canonical()
}

pub(super) fn request(key: &HttpKey, redactions: &[Redaction]) -> Request {
    let end = key.line.iter().position(|byte| *byte == 0);
    let line = &key.line[..end.unwrap_or(key.line.len())];
    let (method, target) = match memchr::memchr(b' ', line) {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &[][..]),
    };
    let version = if key.how & how::VERSION_1_0 != 0 {
        Version::Http10
    } else {
        Version::Http11
    };
    let target = String::from_utf8_lossy(target);
    let mut request = Request::new(method, &target, version, redactions);
    request.truncated |= key.how & how::TRUNCATED != 0;
    request
}

pub(super) const fn outcome(key: &HttpKey) -> Outcome {
    let reason = if key.how & how::RESET != 0 {
        Some(Reason::Reset)
    } else if key.how & how::TIMEOUT != 0 {
        Some(Reason::Timeout)
    } else if key.how & how::CLOSED != 0 {
        Some(Reason::Closed)
    } else {
        None
    };
    Outcome {
        status: key.status,
        reason,
        grpc_status: None,
    }
}

const _: () = {
    let mut at = 0;
    while at < BOUNDS_NS.len() {
        assert!(BOUNDS_NS[at] == LATENCY_BOUNDS_NS[at]);
        at += 1;
    }
    assert!(BOUNDS_NS.len() == LATENCY_BOUNDS_NS.len());
};

/// Adds the kernel's times, which are in the same buckets.
pub(super) fn merge(latency: &mut Latency, new: &Requests) {
    latency.buckets.resize(new.buckets.len(), 0);
    for (to, from) in latency.buckets.iter_mut().zip(new.buckets) {
        *to += from;
    }
    latency.sum_nano = latency.sum_nano.saturating_add(new.latency_ns);
    latency.max_nano = latency.max_nano.max(new.latency_max_ns);
}
