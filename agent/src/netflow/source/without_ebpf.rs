//! Records without any program in the kernel.

use std::os::fd::{AsFd as _, BorrowedFd};

use weir_proto::flow::v1::Counter;

use crate::{
    config::Netflow,
    namespaces::Namespaces,
    netflow::{
        connections::Connections,
        kernel::Chosen,
        sock_diag::{Settings, SockDiag},
    },
    netlink::NetlinkError,
    status::counter,
};

/// Room in the kernel for the ends of connections in each namespace: 3000 of them.
const EVENTS: usize = 4 << 20;

/// What sock_diag tells.
pub(in crate::netflow) struct WithoutEbpf {
    sock_diag: SockDiag,
    hooks: Vec<Chosen>,
    read: u64,
    failed_passes: u64,
}

impl WithoutEbpf {
    /// Begins to listen. `reason` says why this and not eBPF.
    ///
    /// # Errors
    /// If the kernel does not offer it, or forbids it.
    pub(in crate::netflow) fn open(
        config: &Netflow,
        namespaces: &Namespaces,
        reason: &str,
    ) -> Result<Self, NetlinkError> {
        let settings = Settings {
            connections: config.max_connections,
            events: EVENTS,
        };
        let limit = "needs eBPF";
        Ok(Self {
            sock_diag: SockDiag::open(namespaces, settings)?,
            hooks: vec![
                Chosen::new("tcp_state", "sock_diag", reason),
                Chosen::new("tcp_live", "sock_diag", ""),
                Chosen::new("socket_owner", "proc", ""),
                Chosen::new("tcp_accept", "proc", ""),
                Chosen::none("udp", limit),
            ],
            read: 0,
            failed_passes: 0,
        })
    }

    pub(super) fn limit(&mut self, connections: usize) {
        self.sock_diag.limit(connections);
    }

    pub(super) fn hooks(&self) -> &[Chosen] {
        &self.hooks
    }

    pub(super) fn ready(&self) -> BorrowedFd<'_> {
        self.sock_diag.as_fd()
    }

    pub(super) fn follow(&mut self, namespaces: &Namespaces) {
        self.sock_diag.follow(namespaces);
    }

    pub(super) fn adopt(&mut self, connections: &mut Connections) {
        connections.begin_owners();
        let done = self.sock_diag.adopt(|record| connections.record(record));
        connections.end_owners();
        self.note(done);
    }

    pub(super) fn drain(&mut self, connections: &mut Connections) {
        let read = &mut self.read;
        let done = self.sock_diag.ended(|record| {
            *read += 1;
            connections.record(record);
        });
        self.note(done);
    }

    pub(super) fn end_period(&mut self, connections: &mut Connections) {
        self.drain(connections);
        connections.begin_owners();
        connections.begin_pass();
        let done = self.sock_diag.live(|record| connections.record(record));
        let complete = self.note(done);
        self.drain(connections);
        if complete {
            connections.end_pass();
        }
    }

    fn note(&mut self, done: Result<(), NetlinkError>) -> bool {
        if let Err(error) = &done {
            self.failed_passes += 1;
            tracing::warn!(error = crate::error_chain(error), "pass failed");
        }
        done.is_ok()
    }

    pub(super) fn counters(&self) -> Vec<Counter> {
        let tally = self.sock_diag.tally();
        let lost = [
            ("events_lost", tally.events_lost),
            ("owner_table_full", tally.table_full),
            ("unknown_connection", tally.unknown_connection),
            ("numbers_forgotten", tally.numbers_forgotten),
            ("failures_forgotten", tally.failures_forgotten),
            ("namespaces_refused", tally.namespaces_refused),
        ];
        [
            counter("records_read", "", self.read),
            counter("pass_failures", "", self.failed_passes),
        ]
        .into_iter()
        .chain(lost.map(|(cause, value)| counter("records_lost", cause, value)))
        .collect()
    }
}
