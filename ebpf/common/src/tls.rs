//! What the tls object hands on: pieces of streams above TLS, and processes that begin.

use crate::http::Piece;

/// A piece in the ring `TLS_PIECES`; its bytes follow.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct TlsPiece {
    /// The TLS connection: a number that no other has had since boot.
    pub connection: u64,
    /// The piece. Its family is 0 while nobody knows the socket below the connection. A piece without payload and
    /// without a protocol only tells the socket, once it is known.
    pub piece: Piece,
}
const _: () = assert!(size_of::<TlsPiece>() == 8 + 144);

/// A process has begun to run another executable, or is the new child of a chosen one; in the ring `TLS_EXECS`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Exec {
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// Always 0.
    pub reserved: u32,
}
const _: () = assert!(size_of::<Exec>() == 8);

/// An executable file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Executable {
    /// Its inode.
    pub inode: u64,
    /// Its device as the kernel has it: 12 bits major, 20 bits minor number.
    pub device: u32,
    /// Always 0.
    pub reserved: u32,
}
const _: () = assert!(size_of::<Executable>() == 16);

/// What is looked for in an executable file of chosen processes.
pub mod library {
    /// A library with OpenSSL's interface.
    pub const OPENSSL: u32 = 0;
    /// Go's `crypto/tls`.
    pub const GO: u32 = 1;
}

/// Indices of the per-CPU counter map `TLS_COUNTS`.
pub mod count {
    /// Pieces written to the ring; not a loss, but the sum that the reader must see.
    pub const EMITTED: u32 = 0;
    /// The ring was full and a piece was not written.
    pub const RING_FULL: u32 = 1;
    /// The memory of a process could not be read.
    pub const UNREADABLE: u32 = 2;
    /// The kernel refused to remember a call or a connection.
    pub const TABLE_FULL: u32 = 3;
    /// Connections that do not carry HTTP.
    pub const NOT_HTTP: u32 = 4;
    /// Connections whose socket is the one that the thread used during the call.
    pub const LINKED_BY_CALL: u32 = 5;
    /// Connections whose socket is the descriptor that they were given.
    pub const LINKED_BY_DESCRIPTOR: u32 = 6;
    /// Connections whose socket is the one to which the thread then sent as many bytes as TLS makes of the plaintext.
    pub const LINKED_BY_SIZE: u32 = 7;
    /// Connections that went on on another socket, and count as new from there.
    pub const RELINKED: u32 = 8;
    /// Number of counters.
    pub const LEN: u32 = 9;
}
