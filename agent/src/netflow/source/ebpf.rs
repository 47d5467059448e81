//! Records from programs in the kernel.

use std::{
    error::Error,
    os::fd::{AsFd as _, BorrowedFd},
};

use rustix::time::{ClockId, clock_gettime};
use weir_ebpf_common::{
    loss,
    netflow::{
        TcpRecord, owner,
        udp::{UdpRecord, trait_of},
    },
};
use weir_proto::flow::v1::Counter;

use crate::{
    config::Netflow,
    netflow::{
        connections::Connections,
        kernel::{Chosen, Http, HttpSettings, KernelError, Programs},
        syscall::FromKernel as _,
        udp::UdpFlows,
    },
    status::counter,
};

/// Sockets whose holder is looked for in /proc at the end of one period, on kernels without another way.
const MOST_UNSETTLED: usize = 10_000;

/// Shorter connections, in nanoseconds, end with whom is known.
const SETTLES_AFTER: u64 = 500_000_000;

fn is_unsettled(record: &TcpRecord) -> bool {
    record.facts.owner <= owner::ACCEPTOR
}

/// The programs, and what was read of them.
pub(in crate::netflow) struct Ebpf {
    programs: Programs,
    udp: Option<UdpFlows>,
    most_udp_flows: u64,
    read: u64,
    failed_passes: u64,
}

impl Ebpf {
    /// Attaches to the kernel.
    ///
    /// # Errors
    /// If no way to observe TCP works on this kernel.
    pub(in crate::netflow) fn attach(
        config: &Netflow,
        http: Option<HttpSettings>,
    ) -> Result<Self, KernelError> {
        let mut programs = Programs::attach(config, http)?;
        let udp = programs.udp.take().map(UdpFlows::new);
        Ok(Self {
            programs,
            udp,
            most_udp_flows: u64::from(config.udp.max_flows),
            read: 0,
            failed_passes: 0,
        })
    }

    pub(super) fn take_http(&mut self) -> Option<Http> {
        self.programs.http.take()
    }

    pub(super) fn hooks(&self) -> &[Chosen] {
        &self.programs.hooks
    }

    pub(super) fn ready(&self) -> BorrowedFd<'_> {
        self.programs.events.as_fd()
    }

    pub(super) fn adopt(&mut self, connections: &mut Connections) {
        if self.programs.owners.is_some() {
            return self.find_owners(connections);
        }
        connections.begin_owners();
        let done = self
            .programs
            .adopt_in_namespaces(|record| connections.record(record));
        connections.end_owners();
        self.note(done);
    }

    /// Takes over what is in the ring, and the UDP flows if their table fills up before the period ends.
    pub(super) fn look(&mut self, connections: &mut Connections) {
        self.drain(connections);
        let Some(udp) = &self.udp else { return };
        let added = self.programs.count(loss::UDP_FLOWS_ADDED).unwrap_or(0);
        if added.saturating_sub(udp.taken_out()) > self.most_udp_flows / 2 {
            self.look_at_udp_table(connections);
        }
    }

    fn drain(&mut self, connections: &mut Connections) {
        while let Some(bytes) = self.programs.events.next() {
            self.read += 1;
            // The length tells what it is.
            if bytes.len() == size_of::<UdpRecord>() {
                if let (Some(record), Some(udp)) = (UdpRecord::from_kernel(&bytes), &mut self.udp) {
                    connections.learn_owner(&record);
                    if record.flow.traits & trait_of::ANNOUNCED != 0 {
                        continue;
                    }
                    let new = udp.closed(&record);
                    if !new.is_none() {
                        connections.datagrams(&record.key, &record.flow, new);
                    }
                }
            } else if let Some(record) = TcpRecord::from_kernel(&bytes) {
                connections.record(&record);
            }
        }
    }

    /// One pass over all open files: who holds which socket.
    fn find_owners(&mut self, connections: &mut Connections) {
        let Some(pass) = &mut self.programs.owners else {
            return;
        };
        connections.begin_owners();
        let done = pass.run(|record: TcpRecord| connections.record(&record));
        connections.end_owners();
        self.note(done);
    }

    pub(super) fn end_period(&mut self, connections: &mut Connections) {
        if connections.has_unsettled_owners() {
            self.find_owners(connections);
        }
        // The order matters: an end that is in the ring before a pass must be read before it, and one that
        // comes during the pass after it.
        self.drain(connections);
        connections.begin_pass();
        let in_proc = self.programs.owners.is_none();
        let now = clock_gettime(ClockId::Monotonic);
        let now_ns = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
        let mut unsettled = Vec::new();
        let done = self.programs.live.run(|record: TcpRecord| {
            let is_old = now_ns.saturating_sub(record.facts.established_ns) > SETTLES_AFTER;
            if in_proc && is_old && is_unsettled(&record) && unsettled.len() < MOST_UNSETTLED {
                unsettled.push(record);
            }
            connections.record(&record);
        });
        if !unsettled.is_empty() {
            self.programs.settle_owners(unsettled);
        }
        let complete = self.note(done);
        let udp_complete = self.look_at_udp_sockets(connections);
        self.drain(connections);
        if complete {
            connections.end_pass();
        }
        if let Some(udp) = &mut self.udp
            && udp_complete
        {
            udp.forget_closed();
        }
        self.look_at_udp_table(connections);
        self.programs.guard_against_skips();
    }

    fn look_at_udp_table(&mut self, connections: &mut Connections) {
        let Some(udp) = &mut self.udp else { return };
        let done = udp.table(|key, flow, new| connections.datagrams(key, flow, new));
        self.note(done);
    }

    fn look_at_udp_sockets(&mut self, connections: &mut Connections) -> bool {
        let Some(udp) = &mut self.udp else {
            return false;
        };
        let done = udp.held(|key, flow, new| connections.datagrams(key, flow, new));
        self.note(done)
    }

    /// Counts and logs a pass that failed. Whether it was complete.
    fn note<E: Error>(&mut self, done: Result<(), E>) -> bool {
        if let Err(error) = &done {
            self.failed_passes += 1;
            tracing::warn!(error = crate::error_chain(error), "pass failed");
        }
        done.is_ok()
    }

    pub(super) fn counters(&self) -> Vec<Counter> {
        let emitted = self.programs.count(loss::EMITTED).unwrap_or(0);
        let end_unseen = self.udp.as_ref().map_or(0, |udp| udp.end_unseen);
        let lost = self
            .programs
            .losses()
            .chain([("udp_end_unseen", end_unseen)]);
        [
            counter("records_emitted", "", emitted),
            counter("records_read", "", self.read),
            counter("pass_failures", "", self.failed_passes),
        ]
        .into_iter()
        .chain(lost.map(|(cause, value)| counter("records_lost", cause, value)))
        .collect()
    }
}
