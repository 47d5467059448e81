//! Pieces of TCP streams for the httpflow collector.

pub mod words;

use crate::netflow::udp::UdpOwner;

/// Set in [`Piece::flags`].
pub mod flag {
    /// The local end has sent it; otherwise it was received.
    pub const SENT: u8 = 1;
    /// The sender ends its stream after it.
    pub const FIN: u8 = 1 << 1;
    /// The connection was reset.
    pub const RESET: u8 = 1 << 2;
    /// The socket is gone; nothing more comes of it. There is no payload.
    pub const GONE: u8 = 1 << 3;
    /// Read above TLS: positions are counts of such bytes.
    pub const TLS: u8 = 1 << 4;
    /// The connection began before the first piece: what came earlier was not looked at.
    pub const MIDWAY: u8 = 1 << 5;
    /// The beginning of a request that the kernel counts itself; not a part of the stream of pieces.
    pub const SAMPLE: u8 = 1 << 6;
}

/// What the kernel takes the stream for, in [`Piece::protocol`].
pub mod protocol {
    /// HTTP/1: the first segments after the stream has changed its direction are handed on, and those that look like
    /// the beginning of a message. What lies between is known by position only.
    pub const HTTP1: u8 = 1;
    /// HTTP/2: everything but the payload of DATA frames is handed on.
    pub const HTTP2: u8 = 2;
    /// The ClientHello of a TLS connection, and nothing after it.
    pub const TLS_HELLO: u8 = 3;
}

/// The longest piece, in bytes.
pub const MOST_CAPTURED: usize = 4096;

/// A piece of one direction of a TCP stream; `captured` bytes of payload follow it in the ring.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Piece {
    /// The socket: its cookie, which no other socket has had since boot.
    pub socket: u64,
    /// `CLOCK_MONOTONIC` when the kernel saw it.
    pub time_ns: u64,
    /// `CLOCK_MONOTONIC` of the latest payload in the other direction, 0 if there was none.
    pub other_time_ns: u64,
    /// Owner of the socket, as far as known.
    pub owner: UdpOwner,
    /// Local address: 16 bytes in network order; IPv4 in the first four.
    pub local: [u32; 4],
    /// Remote address, likewise.
    pub remote: [u32; 4],
    /// Position of its first byte: a TCP sequence number, which wraps.
    pub position: u32,
    /// Bytes of payload from there; may be more than were captured. 0 if only `flags` matter.
    pub length: u32,
    /// Bytes of payload that follow here.
    pub captured: u32,
    /// The position after the latest byte of the other direction; 0 if `other_time_ns` is.
    pub other_position: u32,
    /// Inode of the network namespace.
    pub netns: u32,
    /// Host byte order.
    pub local_port: u16,
    /// Host byte order.
    pub remote_port: u16,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u16,
    /// Set of [`flag`] bits.
    pub flags: u8,
    /// One of [`protocol`].
    pub protocol: u8,
    /// Always 0.
    pub reserved: u32,
}
const _: () = assert!(size_of::<Piece>() == 24 + 56 + 32 + 20 + 12);

/// Bytes kept of a request's method and path.
pub const LINE: usize = 152;

/// What requests are counted by in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct HttpKey {
    /// Local address: 16 bytes in network order; IPv4 in the first four.
    pub local: [u32; 4],
    /// Remote address, likewise.
    pub remote: [u32; 4],
    /// Inode of the network namespace.
    pub netns: u32,
    /// Owner of the socket: process id in the initial pid namespace, 0 if unknown.
    pub pid: u32,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u16,
    /// Port of the server, in host byte order.
    pub port: u16,
    /// Status code of the answer, 0 if none came.
    pub status: u16,
    /// Set of [`how`] bits.
    pub how: u16,
    /// Method, a space, and the path without the query, zero-padded.
    pub line: [u8; LINE],
}
const _: () = assert!(size_of::<HttpKey>() == 32 + 8 + 8 + LINE);

/// Set in [`HttpKey::how`].
pub mod how {
    /// The local end is the server.
    pub const SERVER: u16 = 1;
    /// HTTP/1.0.
    pub const VERSION_1_0: u16 = 1 << 1;
    /// The path was longer than there is room for.
    pub const TRUNCATED: u16 = 1 << 2;
    /// No answer: the connection was reset.
    pub const RESET: u16 = 1 << 3;
    /// No answer: the connection was closed.
    pub const CLOSED: u16 = 1 << 4;
    /// No answer: the client closed the connection after it had waited for long.
    pub const TIMEOUT: u16 = 1 << 5;
}

/// Bounds of the latencies' buckets, in nanoseconds: the longest time of each; one more has no bound.
pub const BOUNDS_NS: [u64; 16] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Places for maxima: even and odd periods of even and odd CPUs, so that one is read while the other is written, and
/// few CPUs write to one place at a time.
pub const MAXIMA: usize = 4;

/// Bits of a place for a maximum that have the time, in nanoseconds; the others have the number of the period.
pub const MAXIMUM_BITS: u32 = 48;

/// Totals of the requests of one key.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct HttpTally {
    /// Requests.
    pub count: u64,
    /// Bytes of messages that the local end read.
    pub bytes_in: u64,
    /// Bytes of messages that the local end wrote.
    pub bytes_out: u64,
    /// Sum of the times from the last byte of the request to the first of the answer, in nanoseconds.
    pub latency_ns: u64,
    /// The longest of them in a period: see [`MAXIMUM_BITS`].
    pub latency_max_ns: [u64; MAXIMA],
    /// How many of them were in each bucket of [`BOUNDS_NS`].
    pub buckets: [u64; BOUNDS_NS.len() + 1],
    /// Owner of the socket.
    pub owner: UdpOwner,
}
const _: () = assert!(size_of::<HttpTally>() == 32 + 32 + 136 + 56);
