//! What the tracker tells: requests with their answers, and names of servers.

use std::net::IpAddr;

use weir_ebpf_common::{http::Piece, netflow::udp::UdpOwner};
use weir_proto::flow::v1::DomainSource;

use super::{counted::address, message::Request};

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    /// The observed socket's address. IPv4-mapped IPv6 is given as IPv4.
    pub local: IpAddr,
    /// The other's.
    pub remote: IpAddr,
    /// The observed socket's port.
    pub local_port: u16,
    /// The other's.
    pub remote_port: u16,
    /// Inode of the network namespace.
    pub netns: u32,
}

impl Ends {
    pub(super) fn of(piece: &Piece) -> Self {
        let address = |words| address(words, piece.family);
        Self {
            local: address(piece.local),
            remote: address(piece.remote),
            local_port: piece.local_port,
            remote_port: piece.remote_port,
            netns: piece.netns,
        }
    }
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// None came in time.
    Timeout,
    /// The connection, or the stream of HTTP/2, was reset.
    Reset,
    /// The connection was closed, or the server would take no more requests.
    Closed,
}

impl Reason {
    /// In rows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Closed => "closed",
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// 0 where no answer came.
    pub status: u16,
    /// Why none came.
    pub reason: Option<Reason>,
    /// Of gRPC.
    pub grpc_status: Option<u32>,
}

/// A report on one request. It is counted with its answer's head, with its gRPC status where it has one, or when it is
/// given up; bytes that come later are reported later. The reports of one request add up to its messages.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// Who talks.
    pub ends: Ends,
    /// Owner of the local socket.
    pub owner: &'a UdpOwner,
    /// Whether the local end is the server.
    pub is_server: bool,
    /// Read above TLS.
    pub tls: bool,
    /// The request.
    pub request: &'a Request,
    /// How it ended. The same in all its reports.
    pub outcome: Outcome,
    /// Whether this report counts the request; of all of its reports one does, the first.
    pub counts: bool,
    /// Whether this is its last report.
    pub is_last: bool,
    /// From the last byte of the request to the first of its answer, in nanoseconds; absent where no answer came.
    pub latency_ns: Option<u64>,
    /// Of both messages, since the last report: what the local end has read.
    pub bytes_read: u64,
    /// What it has written.
    pub bytes_written: u64,
    /// What it has read since the first report.
    pub all_read: u64,
    /// What it has written since the first report.
    pub all_written: u64,
    /// `CLOCK_MONOTONIC` of the request's first byte.
    pub began_ns: u64,
    /// `CLOCK_MONOTONIC` of what came last.
    pub ended_ns: u64,
}

/// The name of a server that a client asked for, in a ClientHello or the head of a request that the kernel counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerName<'a> {
    /// Who talks.
    pub ends: Ends,
    /// Whether the local end is the client.
    pub is_client: bool,
    /// Lower case.
    pub name: &'a str,
    /// Where it was read.
    pub source: DomainSource,
}

/// What the tracker tells.
#[derive(Debug)]
pub enum Output<'a> {
    /// A request, or more of one.
    Exchange(Exchange<'a>),
    /// A name.
    ServerName(ServerName<'a>),
}
