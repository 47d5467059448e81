//! Where records come from: eBPF, or sock_diag where eBPF is forbidden.

mod ebpf;
mod without_ebpf;

use std::os::fd::BorrowedFd;

use weir_proto::flow::v1::Counter;

pub(super) use self::{ebpf::Ebpf, without_ebpf::WithoutEbpf};
use super::{
    connections::Connections,
    kernel::{Chosen, Http},
};
use crate::namespaces::Namespaces;

/// A source of records.
pub(super) enum Source {
    /// Programs in the kernel.
    Ebpf(Box<Ebpf>),
    /// Dumps and messages of sock_diag.
    WithoutEbpf(Box<WithoutEbpf>),
}

impl Source {
    /// How each event is observed.
    pub(super) fn hooks(&self) -> &[Chosen] {
        match self {
            Self::Ebpf(source) => source.hooks(),
            Self::WithoutEbpf(source) => source.hooks(),
        }
    }

    /// What it sees of HTTP, if that was asked for and works; once.
    pub(super) fn take_http(&mut self) -> Option<Http> {
        match self {
            Self::Ebpf(source) => source.take_http(),
            Self::WithoutEbpf(_) => None,
        }
    }

    /// From now on remembers so many connections, where it remembers any.
    pub(super) fn limit(&mut self, connections: usize) {
        if let Self::WithoutEbpf(source) = self {
            source.limit(connections);
        }
    }

    /// Adopts the connections that are there already.
    pub(super) fn adopt(&mut self, connections: &mut Connections) {
        match self {
            Self::Ebpf(source) => source.adopt(connections),
            Self::WithoutEbpf(source) => source.adopt(connections),
        }
    }

    /// Readable when records wait.
    pub(super) fn ready(&self) -> BorrowedFd<'_> {
        match self {
            Self::Ebpf(source) => source.ready(),
            Self::WithoutEbpf(source) => source.ready(),
        }
    }

    /// Takes over what has come; does not wait.
    pub(super) fn drain(&mut self, connections: &mut Connections) {
        match self {
            Self::Ebpf(source) => source.look(connections),
            Self::WithoutEbpf(source) => source.drain(connections),
        }
    }

    /// Whether it needs to be told of namespaces that come and go.
    pub(super) fn follows_namespaces(&self) -> bool {
        matches!(self, Self::WithoutEbpf(_))
    }

    /// Tells it of the namespaces that are there now.
    pub(super) fn follow(&mut self, namespaces: &Namespaces) {
        if let Self::WithoutEbpf(source) = self {
            source.follow(namespaces);
        }
    }

    /// The end of a period: everything that has ended and everything that lives.
    pub(super) fn end_period(&mut self, connections: &mut Connections) {
        match self {
            Self::Ebpf(source) => source.end_period(connections),
            Self::WithoutEbpf(source) => source.end_period(connections),
        }
    }

    /// Counters of the source: what it read, and every loss by cause.
    pub(super) fn counters(&self) -> Vec<Counter> {
        match self {
            Self::Ebpf(source) => source.counters(),
            Self::WithoutEbpf(source) => source.counters(),
        }
    }
}
