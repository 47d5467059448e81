//! Records and per-socket facts of the netflow collector.

pub mod udp;

/// `TCP_ESTABLISHED` and its siblings, from the kernel's `include/net/tcp_states.h`.
pub mod state {
    #![expect(missing_docs, reason = "the kernel's names")]
    pub const ESTABLISHED: u32 = 1;
    pub const SYN_SENT: u32 = 2;
    pub const SYN_RECV: u32 = 3;
    pub const FIN_WAIT1: u32 = 4;
    pub const FIN_WAIT2: u32 = 5;
    pub const CLOSE: u32 = 7;
    pub const CLOSE_WAIT: u32 = 8;
    pub const LAST_ACK: u32 = 9;
    pub const LISTEN: u32 = 10;
    pub const CLOSING: u32 = 11;
}

/// What a record says.
pub mod kind {
    /// A live connection, read by the periodic pass.
    pub const LIVE: u8 = 1;
    /// A connection that was established has ended; the numbers are final.
    pub const CLOSED: u8 = 2;
    /// A connect ended without being established.
    pub const FAILED: u8 = 3;
    /// A connection older than the agent; its numbers so far are the baseline.
    pub const ADOPTED: u8 = 4;
    /// A listening socket, older than the agent or not.
    pub const LISTENING: u8 = 5;
}

/// Which end opened the connection.
pub mod direction {
    /// Not seen: the connection is older than the agent.
    pub const UNKNOWN: u8 = 0;
    /// The local end called connect().
    pub const CONNECT: u8 = 1;
    /// The local end accepted.
    pub const ACCEPT: u8 = 2;
}

/// How the owner of a socket is known, weakest first.
pub mod owner {
    /// Nobody known yet.
    pub const UNKNOWN: u8 = 0;
    /// The process that listens; the one that serves may be another.
    pub const LISTENER: u8 = 1;
    /// The process that called accept(); it may leave the serving to another.
    pub const ACCEPTOR: u8 = 2;
    /// The process that made the socket; it may have handed it on.
    pub const CREATOR: u8 = 3;
    /// The process that closed the socket or shut it down.
    pub const CLOSER: u8 = 4;
    /// The process whose descriptor table holds the socket.
    pub const HOLDER: u8 = 5;
    /// The process that called connect(), listen() or sendto().
    pub const CALLER: u8 = 6;
}

/// Bytes kept of an executable's name: the size of a name stored inside `struct dentry`.
pub const NAME_LEN: usize = 40;

/// What only we know of a socket, kept with it in the kernel.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Facts {
    /// `CLOCK_MONOTONIC` when connect() was called, 0 if not seen.
    pub connect_ns: u64,
    /// `CLOCK_MONOTONIC` when the connection was established, 0 if not seen.
    pub established_ns: u64,
    /// Name of the owner's executable, zero-padded, as words so that it is copied without a loop call.
    pub name: [u64; NAME_LEN / 8],
    /// Control group of the owner in the unified hierarchy (the inode of its folder), 0 if unknown.
    pub cgroup: u64,
    /// Owner: process id in the initial pid namespace, 0 if unknown.
    pub pid: u32,
    /// One of [`direction`].
    pub direction: u8,
    /// One of [`owner`].
    pub owner: u8,
    /// 1 if the connection is older than the agent.
    pub adopted: u8,
    /// 1 once the end of the connection was reported.
    pub closed: u8,
}
const _: () = assert!(size_of::<Facts>() == 72);

/// One connection at one moment: totals since it began, not deltas.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct TcpRecord {
    /// What only we know of the socket.
    pub facts: Facts,
    /// Distinguishes the sockets of one moment: the socket's address in the kernel, or its cookie.
    pub socket: u64,
    /// Payload bytes sent for the first time (`bytes_sent - bytes_retrans`).
    pub bytes_sent: u64,
    /// Payload bytes received in order, without the sequence number that a FIN takes.
    pub bytes_received: u64,
    /// Local address: 16 bytes in network order; IPv4 in the first four.
    pub local: [u32; 4],
    /// Remote address, likewise.
    pub remote: [u32; 4],
    /// `tcp_sock.segs_in`.
    pub segments_in: u32,
    /// `tcp_sock.segs_out`.
    pub segments_out: u32,
    /// `tcp_sock.total_retrans`: segments sent again.
    pub retransmits: u32,
    /// Smoothed round-trip time, 0 before the first sample.
    pub rtt_us: u32,
    /// Mean deviation of the round-trip time; means nothing while `rtt_us` is 0.
    pub rtt_var_us: u32,
    /// Inode of the network namespace.
    pub netns: u32,
    /// Host byte order.
    pub local_port: u16,
    /// Host byte order.
    pub remote_port: u16,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u16,
    /// `sock.sk_err` at the end of the connection: an errno, 0 for an orderly end.
    pub error: u16,
    /// One of [`kind`].
    pub kind: u8,
    /// One of [`state`]: the state, or the one that was left when `kind` says it ended.
    pub state: u8,
    /// Always 0.
    pub reserved: [u8; 2],
    /// Inode of the socket, as /proc shows it for a descriptor; only in records of passes over a namespace, else 0.
    pub inode: u32,
}
const _: () = assert!(size_of::<TcpRecord>() == 72 + 8 + 16 + 32 + 24 + 8 + 8);

/// Key of the listener map on kernels without per-socket storage.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct ListenKey {
    /// Inode of the network namespace.
    pub netns: u32,
    /// Host byte order, in a `u32` to leave no padding.
    pub port: u32,
}
const _: () = assert!(size_of::<ListenKey>() == 8);
