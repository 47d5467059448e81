//! UDP flows: what one socket exchanges with one peer.

use super::NAME_LEN;

/// What distinguishes one flow from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct UdpKey {
    /// The socket: its cookie, which no other socket has had since boot.
    pub socket: u64,
    /// Local address: 16 bytes in network order; IPv4 in the first four.
    pub local: [u32; 4],
    /// Remote address, likewise; all zero where the hook does not tell the peer.
    pub remote: [u32; 4],
    /// Host byte order.
    pub local_port: u16,
    /// Host byte order.
    pub remote_port: u16,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u16,
    /// Always 0.
    pub reserved: u16,
}
const _: () = assert!(size_of::<UdpKey>() == 48);

/// Totals of a flow since it was first seen, and what was known of its socket then.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct UdpFlow {
    /// Payload bytes delivered to the socket.
    pub bytes_in: u64,
    /// Payload bytes sent.
    pub bytes_out: u64,
    /// Datagrams delivered to the socket.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Owner of the socket.
    pub owner: UdpOwner,
    /// Inode of the network namespace.
    pub netns: u32,
    /// Set of [`trait_of`] bits.
    pub traits: u32,
}
const _: () = assert!(size_of::<UdpFlow>() == 32 + 56 + 8);

/// Who uses a UDP socket.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct UdpOwner {
    /// Name of the executable, zero-padded.
    pub name: [u64; NAME_LEN / 8],
    /// Control group in the unified hierarchy, 0 if unknown.
    pub cgroup: u64,
    /// Process id in the initial pid namespace, 0 if unknown.
    pub pid: u32,
    /// One of [`owner`](super::owner).
    pub known_by: u32,
}
const _: () = assert!(size_of::<UdpOwner>() == 56);

/// What was known of a flow's beginning.
pub mod trait_of {
    /// The first datagram that was seen came in.
    pub const BEGAN_INCOMING: u32 = 1;
    /// The program bound the socket to this local port.
    pub const BOUND: u32 = 1 << 1;
    /// The program connected the socket.
    pub const CONNECTED: u32 = 1 << 2;
    /// The flow's key, owner, namespace and traits are complete.
    pub const DESCRIBED: u32 = 1 << 3;
    /// The socket was closed; what it still does counts elsewhere.
    pub const CLOSED: u32 = 1 << 4;
    /// Only in a record: the flow has begun, and the record says whose it is. It counts nothing.
    pub const ANNOUNCED: u32 = 1 << 5;
}

/// A flow with its key. Every socket holds its first flow itself, and gives it away when it is closed; those
/// with further peers are in a table.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct UdpRecord {
    /// Which flow.
    pub key: UdpKey,
    /// What it did.
    pub flow: UdpFlow,
}
const _: () = assert!(size_of::<UdpRecord>() == 144);

/// The packet that a CPU has counted last.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct UdpLast {
    /// Its flow.
    pub key: UdpKey,
    /// Its payload.
    pub bytes: u64,
    /// The datagrams it stands for.
    pub datagrams: u64,
    /// 1 if the flow is kept in the socket.
    pub in_socket: u64,
}
const _: () = assert!(size_of::<UdpLast>() == 72);
