//! The dnsflow collector: every DNS query of this node, in every network namespace, with its answer and how long that
//! took; and the names of the addresses that were answered.
//!
//! Packets are captured, not calls: no eBPF is needed, and whatever resolver a program uses is seen.

mod exchange;
#[doc(hidden)]
pub mod message;
mod rows;
mod stream;
mod tracker;
#[cfg(test)]
mod wire;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use weir_proto::flow::v1::{FlowEvent, flow_event::Data};

use self::{exchange::Exchange, rows::Rows};
use crate::{
    capture::{self, Capture, CaptureError, filter, unix_ns},
    config::Dnsflow,
    drop::{Amount, DropRules, Dropper},
    names::{Names, monotonic_ns},
    namespaces::{ListError, Namespaces},
    netflow::kernel::Chosen,
    owners::Owners,
    status::{Status, counter},
    uplink::Queue,
};

/// How long the collector sleeps at most: it then ends what has waited too long.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// After packets came, others are let come before the next look, so that a flood does not wake us for each.
const GATHER: Duration = Duration::from_millis(5);

/// How soon a new namespace is watched.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// How often the table of queries is walked for those that have waited too long.
const SWEEP_EVERY: Duration = Duration::from_millis(250);

/// Rows of one batch.
const BATCH_ROWS: usize = 1000;

/// A period ends early when it has this many rows, so that a flood of addresses cannot take all memory.
const MOST_ROWS: usize = 50_000;

/// Why the collector cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Packets cannot be captured.
    #[error("DNS cannot be observed")]
    Capture(#[from] CaptureError),
    /// The network namespaces of this node cannot be found.
    #[error("cannot find the network namespaces of this node")]
    Namespaces(#[from] ListError),
    /// The system has no thread left.
    #[error("cannot start the dnsflow collector")]
    Thread(#[source] io::Error),
}

/// What the collector has in common with others.
#[derive(Clone)]
pub struct Shared {
    /// Where rows go.
    pub queue: Arc<Queue>,
    /// Where counters go.
    pub status: Arc<Status>,
    /// What is left out.
    pub drops: DropRules,
    /// Who uses which socket.
    pub owners: Arc<Owners>,
    /// Where names of addresses go.
    pub names: Arc<Names>,
}

/// The collector, watching.
pub struct Collector {
    capture: Capture,
    namespaces: Namespaces,
    exchange: Exchange,
    rows: Rows,
    drops: Dropper,
    shared: Shared,
    period: Duration,
    sent_rows: u64,
}

/// The collector's thread.
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Collector {
    /// Watches every namespace, and reports every period, in a thread of its own.
    ///
    /// # Errors
    /// If packets of the agent's own namespace cannot be captured.
    pub fn start(config: &Dnsflow, shared: Shared) -> Result<Running, StartError> {
        let namespaces = Namespaces::find()?;
        let settings = capture::Settings {
            filter: filter::of_ports(&config.ports),
            ring: config.ring.0 as usize,
            queue: config.queue.0 as usize,
            namespaces: config.max_namespaces,
        };
        let names = Arc::clone(&shared.names);
        let collector = Self {
            capture: Capture::open(&namespaces, settings)?,
            namespaces,
            exchange: Exchange::new(config.max_pending, config.timeout, names),
            rows: Rows::new(config.max_names),
            drops: shared.drops.dropper(),
            shared,
            period: config.period,
            sent_rows: 0,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("dnsflow".to_owned())
            .spawn(move || collector.run(&stopped))
            .map_err(StartError::Thread)?;
        Ok(Running { stop, thread })
    }

    fn run(mut self, stop: &AtomicBool) {
        let mut began = Instant::now();
        let (mut followed, mut swept) = (began, began);
        while !stop.load(Ordering::Relaxed) {
            self.look(LOOK_EVERY);
            let now_ns = unix_ns();
            if swept.elapsed() >= SWEEP_EVERY {
                swept = Instant::now();
                self.exchange.sweep(now_ns);
            }
            self.settle(now_ns, false);
            if followed.elapsed() >= FOLLOW_EVERY {
                followed = Instant::now();
                self.follow();
            }
            if began.elapsed() >= self.period || self.rows.len() >= MOST_ROWS {
                began = self.report(began);
            }
            thread::sleep(GATHER);
        }
        // What came before is counted; queries that still wait are neither answered nor timed out.
        self.look(Duration::ZERO);
        self.exchange.sweep(unix_ns());
        self.settle(unix_ns(), true);
        self.report(began);
    }

    fn look(&mut self, most: Duration) {
        let Self {
            capture, exchange, ..
        } = self;
        exchange.set_clock(unix_ns());
        capture.drain(most, |packet| exchange.take(packet));
    }

    fn settle(&mut self, now_ns: u64, all: bool) {
        self.exchange
            .settle(now_ns, all, &mut self.rows, &self.shared.owners);
    }

    fn follow(&mut self) {
        if let Err(error) = self.namespaces.refresh() {
            let error = crate::error_chain(&error);
            tracing::warn!(error, "namespaces not refreshed");
        }
        self.capture.follow(&self.namespaces);
        let namespaces = &self.namespaces;
        self.shared
            .names
            .sweep(monotonic_ns(), |netns| namespaces.contains(netns));
        self.tell();
    }

    /// Ends a period and returns when the next one began.
    fn report(&mut self, began: Instant) -> Instant {
        let now = Instant::now();
        let length = now.duration_since(began).as_nanos() as u64;
        let mut events = self.rows.take(unix_ns(), length);
        let drops = &mut self.drops;
        events.retain(|event| !drops.drops_event(event, amount(event)));
        self.sent_rows += events.len() as u64;
        self.tell();
        let mut events = events.into_iter();
        loop {
            let batch: Vec<_> = events.by_ref().take(BATCH_ROWS).collect();
            if batch.is_empty() {
                return now;
            }
            self.shared.queue.push(batch);
        }
    }

    fn tell(&mut self) {
        let packets = self.capture.tally();
        let seen = [
            ("repeated", packets.repeated),
            ("forwarded", packets.forwarded),
            ("unreadable", packets.unreadable),
        ];
        let mut counters = self.exchange.counters();
        counters.extend([
            counter("dns_packets", "", packets.packets),
            counter("dns_lost", "ring_full", packets.lost),
            counter("dns_lost", "namespace_refused", packets.refused),
            counter("dns_names_over_budget", "", self.rows.over_budget),
            counter("dns_rows", "", self.sent_rows),
        ]);
        let seen = seen.map(|(cause, value)| counter("dns_packets_passed", cause, value));
        counters.extend(seen);
        counters.extend(self.drops.items("dnsflow_dropped_queries"));
        self.shared.status.set("dnsflow", counters);
    }
}

fn amount(event: &FlowEvent) -> Amount {
    match &event.data {
        Some(Data::Dnsflow(row)) => Amount {
            items: row.count,
            ..Amount::default()
        },
        _ => Amount::default(),
    }
}

impl Running {
    /// How DNS is observed.
    #[must_use]
    pub fn hooks(&self) -> Vec<Chosen> {
        vec![Chosen {
            event: "dns",
            hook: "af_packet",
            reason: String::new(),
        }]
    }

    /// Reports what is left and ends the thread. Blocks for as long as one look takes.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("the dnsflow collector panicked");
        }
    }
}
