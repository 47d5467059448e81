//! The netflow collector: what every TCP connection and UDP flow of this node does, in every network namespace.
//!
//! The kernel side ([`kernel`]) reports the end of each connection at once; the live ones are read once a
//! period by a pass. Nothing runs per packet or per call.

mod connections;
pub mod kernel;
pub mod nat;
mod pass;
mod rows;
pub mod sock_diag;
mod syscall;
mod udp;

use std::{
    fs, io,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use weir_ebpf_common::{
    loss,
    netflow::{TcpRecord, udp::UdpRecord},
};
use weir_proto::flow::v1::Counter;

use self::{
    connections::Connections,
    kernel::{Chosen, KernelError, Programs},
    rows::Period,
    syscall::{FromKernel as _, release_freed_memory},
    udp::UdpFlows,
};
use crate::{
    config::Netflow,
    status::{Status, counter},
    uplink::Queue,
};

/// How long records may wait in the ring when they are too few to wake us.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Rows of one batch: about 200 KiB on the wire.
const BATCH_ROWS: usize = 1000;

/// A period ends early when it has this many rows, so that a scan of many addresses cannot take all memory.
/// Between two looks at this the ring, and at its end the live connections, add what they can hold.
const MOST_ROWS: usize = 50_000;

/// The collector, watching but not yet reporting.
pub struct Collector {
    programs: Programs,
    connections: Connections,
    udp: Option<UdpFlows>,
    most_udp_flows: u64,
    period: Duration,
    read: u64,
    rows: u64,
    failed_passes: u64,
}

/// The collector's thread.
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Where rows and counters go.
pub struct Outputs {
    /// Rows.
    pub queue: Arc<Queue>,
    /// Counters.
    pub status: Arc<Status>,
}

impl Collector {
    /// Attaches to the kernel and adopts the connections that are there.
    ///
    /// # Errors
    /// If no way to observe TCP works on this kernel.
    pub fn attach(config: &Netflow) -> Result<Self, KernelError> {
        let mut programs = Programs::attach(config)?;
        let udp = programs.udp.take().map(UdpFlows::new);
        let mut collector = Self {
            programs,
            connections: Connections::new(
                config.max_connections,
                first_ephemeral_port(),
                config.per_connection,
            ),
            udp,
            most_udp_flows: u64::from(config.udp.max_flows),
            period: config.period,
            read: 0,
            rows: 0,
            failed_passes: 0,
        };
        collector.find_owners();
        release_freed_memory();
        Ok(collector)
    }

    /// How each event is observed; TCP state changes first.
    #[must_use]
    pub fn hooks(&self) -> &[Chosen] {
        &self.programs.hooks
    }

    /// Connections older than the agent that were adopted.
    #[must_use]
    pub fn adopted(&self) -> usize {
        self.connections.len()
    }

    /// Reports every period, in a thread of its own: passes block in the kernel for milliseconds.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn spawn(self, outputs: Outputs) -> io::Result<Running> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("netflow".to_owned())
            .spawn(move || self.run(&outputs, &stopped))?;
        Ok(Running { stop, thread })
    }

    fn run(mut self, outputs: &Outputs, stop: &AtomicBool) {
        let mut began = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let left = self.period.saturating_sub(began.elapsed());
            if left.is_zero() || self.connections.rows() >= MOST_ROWS {
                began = self.report(outputs, began);
                continue;
            }
            self.wait(left.min(LOOK_EVERY));
            self.drain();
            if self.udp_table_fills() {
                self.look_at_udp_table();
            }
        }
        // What happened since the last period is not lost by stopping.
        self.report(outputs, began);
    }

    fn wait(&self, most: Duration) {
        let mut ring = [PollFd::from_borrowed_fd(
            self.programs.events.as_fd(),
            PollFlags::IN,
        )];
        // An interrupted wait is only a shorter one.
        let _ready = poll(&mut ring, Timespec::try_from(most).ok().as_ref());
    }

    fn drain(&mut self) {
        while let Some(bytes) = self.programs.events.next() {
            self.read += 1;
            // The length tells what it is.
            if bytes.len() == size_of::<UdpRecord>() {
                if let (Some(record), Some(udp)) = (UdpRecord::from_kernel(&bytes), &mut self.udp) {
                    let new = udp.closed(&record);
                    if !new.is_none() {
                        self.connections.datagrams(&record.key, &record.flow, new);
                    }
                }
            } else if let Some(record) = TcpRecord::from_kernel(&bytes) {
                self.connections.record(&record);
            }
        }
    }

    /// One pass over all open files: who holds which socket.
    fn find_owners(&mut self) {
        let Some(pass) = &mut self.programs.owners else {
            return;
        };
        self.connections.begin_owners();
        let done = pass.run(|record| self.connections.record(&record));
        self.connections.end_owners();
        self.note(done);
    }

    /// Whether so many flows are in the kernel's table that it could be full before the period ends.
    fn udp_table_fills(&self) -> bool {
        let Some(udp) = &self.udp else { return false };
        let added = self.programs.count(loss::UDP_FLOWS_ADDED).unwrap_or(0);
        added.saturating_sub(udp.taken_out()) > self.most_udp_flows / 2
    }

    /// One pass over the table of UDP flows.
    fn look_at_udp_table(&mut self) {
        let Some(udp) = &mut self.udp else { return };
        let connections = &mut self.connections;
        let done = udp.table(|key, flow, new| connections.datagrams(key, flow, new));
        self.note(done);
    }

    /// One pass over the UDP flows in their sockets.
    fn look_at_udp_sockets(&mut self) -> bool {
        let Some(udp) = &mut self.udp else {
            return false;
        };
        let connections = &mut self.connections;
        let done = udp.held(|key, flow, new| connections.datagrams(key, flow, new));
        let complete = done.is_ok();
        self.note(done);
        complete
    }

    fn note<E: std::error::Error>(&mut self, done: Result<(), E>) {
        if let Err(error) = done {
            self.failed_passes += 1;
            tracing::warn!(error = crate::error_chain(&error), "pass failed");
        }
    }

    /// Ends a period and returns when the next one began.
    fn report(&mut self, outputs: &Outputs, began: Instant) -> Instant {
        if self.connections.has_unsettled_owners() {
            self.find_owners();
        }
        // The order matters: an end that is in the ring before the pass must be read before it, and one
        // that comes during the pass after it.
        self.drain();
        self.connections.begin_pass();
        let done = self
            .programs
            .live
            .run(|record| self.connections.record(&record));
        let complete = done.is_ok();
        self.note(done);
        let udp_complete = self.look_at_udp_sockets();
        self.drain();
        if complete {
            self.connections.end_pass();
        }
        if let Some(udp) = &mut self.udp
            && udp_complete
        {
            udp.forget_closed();
        }
        self.look_at_udp_table();
        let now = Instant::now();
        let events = self.connections.take(Period {
            end_unix_ns: unix_ns(),
            length_ns: now.duration_since(began).as_nanos() as u64,
        });
        self.rows += events.len() as u64;
        outputs.status.set("netflow", self.counters());
        let mut events = events.into_iter();
        loop {
            let batch: Vec<_> = events.by_ref().take(BATCH_ROWS).collect();
            if batch.is_empty() {
                return now;
            }
            outputs.queue.push(batch);
        }
    }

    fn counters(&self) -> Vec<Counter> {
        let emitted = self.programs.count(loss::EMITTED).unwrap_or(0);
        let tally = self.connections.tally;
        let user_side = [
            ("end_unseen", tally.end_unseen),
            ("table_full", tally.table_full),
            (
                "udp_end_unseen",
                self.udp.as_ref().map_or(0, |udp| udp.end_unseen),
            ),
        ];
        let mut counters = vec![
            counter("records_emitted", "", emitted),
            counter("records_read", "", self.read),
            counter("rows", "", self.rows),
            counter("pass_failures", "", self.failed_passes),
        ];
        let lost = self.programs.losses().chain(user_side);
        counters.extend(lost.map(|(cause, value)| counter("records_lost", cause, value)));
        counters
    }
}

/// The lowest port that the kernel gives to clients (`net.ipv4.ip_local_port_range`), by its default if unknown.
fn first_ephemeral_port() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range
        .split_whitespace()
        .next()
        .and_then(|port| port.parse().ok())
        .unwrap_or(32_768)
}

fn unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

impl Running {
    /// Reports what is left and ends the thread. Blocks for as long as one pass takes.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("the netflow collector panicked");
        }
    }
}
