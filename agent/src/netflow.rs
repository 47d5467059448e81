//! The netflow collector: what every TCP connection and UDP flow of this node does, in every network namespace.
//!
//! The kernel side ([`kernel`]) reports the end of each connection at once; the live ones are read once a
//! period by a pass. Nothing runs per packet or per call.

mod change;
mod connections;
pub mod kernel;
pub mod nat;
mod pass;
mod rows;
pub mod sock_diag;
mod source;
pub(crate) mod syscall;
mod udp;

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use weir_proto::flow::v1::Counter;

use self::{
    change::Change,
    connections::Connections,
    kernel::{Chosen, Http, HttpSettings, KernelError},
    nat::Translations,
    rows::Period,
    source::{Ebpf, Source, WithoutEbpf},
    syscall::release_freed_memory,
};
pub use self::{change::needs_restart, connections::Handover};
use crate::{
    config::{Hook, Netflow},
    drop::DropRules,
    names::Names,
    namespaces::{ListError, Namespaces},
    netlink::NetlinkError,
    owners::Owners,
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

/// Room in the kernel for events of connection tracking in each namespace: 800 of them.
const NAT_EVENTS: usize = 1 << 20;

/// What drop rules left out is counted as: connections that began or failed, segments and datagrams, payload.
const DROPPED: [&str; 3] = [
    "netflow_dropped_connections",
    "netflow_dropped_packets",
    "netflow_dropped_bytes",
];

/// Why the collector cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Programs cannot be attached.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Programs cannot be attached, and sock_diag does not help.
    #[error("{kernel}; without eBPF: {}", crate::error_chain(source.as_ref()))]
    Nothing {
        /// Why not with eBPF.
        kernel: Box<KernelError>,
        /// Why not without.
        source: Box<NetlinkError>,
    },
    /// Sock_diag was asked for and does not work.
    #[error("TCP cannot be observed without eBPF")]
    SockDiag(#[source] NetlinkError),
    /// The network namespaces of this node cannot be found.
    #[error("cannot find the network namespaces of this node")]
    Namespaces(#[from] ListError),
}

/// The collector, watching but not yet reporting.
pub struct Collector {
    source: Source,
    connections: Connections,
    /// Only where it is followed: a namespace that is held open does not end.
    namespaces: Option<Namespaces>,
    hooks: Vec<Chosen>,
    config: Netflow,
    rows: u64,
}

/// The collector's thread.
pub struct Running {
    stop: Arc<AtomicBool>,
    changes: Sender<Change>,
    hooks: Vec<Chosen>,
    thread: JoinHandle<Handover>,
}

/// Where rows and counters go.
#[derive(Clone)]
pub struct Outputs {
    /// Rows.
    pub queue: Arc<Queue>,
    /// Counters.
    pub status: Arc<Status>,
    /// Where users of sockets are told to collectors that see only packets, if there are any.
    pub owners: Option<Arc<Owners>>,
}

impl Collector {
    /// Attaches to the kernel and adopts the connections that are there. With `http`, HTTP is observed too: see [`Self::take_http`].
    /// Goes on where another collector ended, if `before` says where; it is taken once the kernel is attached to.
    ///
    /// # Errors
    /// If no way to observe TCP works on this kernel.
    pub fn attach(
        config: &Netflow,
        http: Option<HttpSettings>,
        before: &mut Option<Handover>,
    ) -> Result<Self, StartError> {
        let namespaces = Namespaces::find()?;
        let mut source = open_source(config, &namespaces, http)?;
        let mut hooks = source.hooks().to_vec();
        let translations = open_translations(config, &namespaces, &mut hooks);
        let followed = translations.is_some() || source.follows_namespaces();
        let mut connections = Connections::new(
            config.max_connections,
            first_ephemeral_port(),
            config.per_connection,
        );
        connections.translations = translations;
        if let Some(before) = before.take() {
            connections.go_on(before);
        }
        source.adopt(&mut connections);
        release_freed_memory();
        Ok(Self {
            source,
            connections,
            namespaces: followed.then_some(namespaces),
            hooks,
            config: config.clone(),
            rows: 0,
        })
    }

    /// Leaves out what these rules drop.
    #[must_use]
    pub fn dropping(mut self, rules: &DropRules) -> Self {
        self.connections.drops = rules.dropper();
        self
    }

    /// What is seen of HTTP, if that was asked for and works; once.
    pub fn take_http(&mut self) -> Option<Http> {
        self.source.take_http()
    }

    /// How each event is observed; TCP state changes first.
    #[must_use]
    pub fn hooks(&self) -> &[Chosen] {
        &self.hooks
    }

    /// Connections older than the agent that were adopted.
    #[must_use]
    pub fn adopted(&self) -> usize {
        self.connections.len()
    }

    /// Names the peers of connections by what their clients were told.
    #[must_use]
    pub fn with_names(mut self, names: Arc<Names>) -> Self {
        self.connections.name_peers(Some(names));
        self
    }

    /// Reports every period, in a thread of its own: passes block in the kernel for milliseconds.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn spawn(mut self, outputs: Outputs) -> io::Result<Running> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (changes, changed) = mpsc::channel();
        let hooks = self.hooks.clone();
        self.connections.owners.clone_from(&outputs.owners);
        let thread = thread::Builder::new()
            .name("netflow".to_owned())
            .spawn(move || self.run(&outputs, &stopped, &changed))?;
        Ok(Running {
            stop,
            changes,
            hooks,
            thread,
        })
    }

    fn run(mut self, outputs: &Outputs, stop: &AtomicBool, changes: &Receiver<Change>) -> Handover {
        let mut began = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            while let Ok(change) = changes.try_recv() {
                began = self.change(change, outputs, began);
            }
            let left = self.config.period.saturating_sub(began.elapsed());
            if left.is_zero() || self.connections.rows() >= MOST_ROWS {
                began = self.report(outputs, began);
                continue;
            }
            self.wait(left.min(LOOK_EVERY));
            self.connections.follow_translations();
            self.connections.settle_names(false);
            self.source.drain(&mut self.connections);
        }
        // What happened since the last period is not lost by stopping.
        self.connections.settle_names(true);
        self.connections.note_for_next();
        self.report(outputs, began);
        self.connections.hand_over()
    }

    fn wait(&self, most: Duration) {
        let mut ready = [PollFd::from_borrowed_fd(self.source.ready(), PollFlags::IN)];
        // An interrupted wait is only a shorter one.
        let _ready = poll(&mut ready, Timespec::try_from(most).ok().as_ref());
    }

    /// Ends a period and returns when the next one began.
    fn report(&mut self, outputs: &Outputs, began: Instant) -> Instant {
        self.refresh_namespaces();
        self.source.end_period(&mut self.connections);
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

    fn refresh_namespaces(&mut self) {
        let Some(namespaces) = &mut self.namespaces else {
            return;
        };
        if let Err(error) = namespaces.refresh() {
            tracing::warn!(
                error = crate::error_chain(&error),
                "namespaces not refreshed"
            );
        }
        self.source.follow(namespaces);
        if let Some(translations) = &mut self.connections.translations {
            translations.follow(namespaces);
        }
    }

    fn counters(&self) -> Vec<Counter> {
        let tally = self.connections.tally;
        let nat = self.connections.translations.as_ref();
        let nat = nat.map(Translations::tally).unwrap_or_default();
        let lost = [
            ("end_unseen", tally.end_unseen),
            ("table_full", tally.table_full),
            ("nat_table_full", nat.nat_table_full),
            ("nat_events_lost", nat.nat_events_lost),
        ];
        let mut counters = self.source.counters();
        counters.push(counter("rows", "", self.rows));
        let lost = lost.map(|(cause, value)| counter("records_lost", cause, value));
        counters.extend(lost);
        counters.extend(self.connections.drops.counters(DROPPED));
        counters
    }
}

/// eBPF, unless it is not wanted or does not work.
fn open_source(
    config: &Netflow,
    namespaces: &Namespaces,
    http: Option<HttpSettings>,
) -> Result<Source, StartError> {
    if config.hook == Hook::SockDiag {
        let source = WithoutEbpf::open(config, namespaces, "asked for");
        return source
            .map(|source| Source::WithoutEbpf(Box::new(source)))
            .map_err(StartError::SockDiag);
    }
    match Ebpf::attach(config, http) {
        Ok(source) => Ok(Source::Ebpf(Box::new(source))),
        Err(kernel) if config.hook == Hook::Auto => {
            let why = crate::error_chain(&kernel);
            match WithoutEbpf::open(config, namespaces, &why) {
                Ok(source) => Ok(Source::WithoutEbpf(Box::new(source))),
                Err(source) => Err(StartError::Nothing {
                    kernel: Box::new(kernel),
                    source: Box::new(source),
                }),
            }
        }
        Err(kernel) => Err(kernel.into()),
    }
}

/// The translated connections, if they are wanted and can be read.
fn open_translations(
    config: &Netflow,
    namespaces: &Namespaces,
    hooks: &mut Vec<Chosen>,
) -> Option<Translations> {
    let event = "nat";
    if !config.nat.enabled {
        hooks.push(Chosen::none(event, "switched off"));
        return None;
    }
    let settings = nat::Settings {
        entries: config.nat.max_entries,
        events: NAT_EVENTS,
    };
    match Translations::open(namespaces, settings) {
        Ok(translations) => {
            hooks.push(Chosen::new(event, "conntrack_netlink", ""));
            Some(translations)
        }
        Err(error) => {
            hooks.push(Chosen::none(event, crate::error_chain(&error)));
            None
        }
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
    /// How each event was observed at the start; TCP state changes first.
    #[must_use]
    pub fn hooks(&self) -> &[Chosen] {
        &self.hooks
    }

    /// From now on runs by `config`, and names the peers of connections by `names`, if there are some. What
    /// [needs a restart](needs_restart) stays as it was.
    pub fn change(&self, config: &Netflow, names: Option<Arc<Names>>) {
        let change = Change {
            config: config.clone(),
            names,
        };
        // Fails only if the thread has panicked; its end says so.
        self.changes.send(change).unwrap_or_default();
    }

    /// Reports what is left and ends the thread. Blocks for as long as one pass takes. What it gives back lets the
    /// next collector go on without counting anything twice.
    #[must_use]
    pub fn stop(self) -> Option<Handover> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        if ended.is_err() {
            tracing::error!("the netflow collector panicked");
        }
        ended.ok()
    }
}
