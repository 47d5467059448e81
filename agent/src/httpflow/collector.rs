//! The collector's thread: from what the kernel shows to rows.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use hashbrown::HashMap;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use weir_proto::flow::v1::{DomainSource, FlowEvent};
use weir_route::{PatternError, Routes};

use super::{Budget, Output, Rows, ServerName, Settings, Spans, Tracker};
use crate::{
    config,
    drop::{Amount, DropRules, Dropper},
    names::{Names, monotonic_ns},
    netflow::kernel::{Chosen, Http, HttpSettings},
    status::{Status, counter},
    tls::Probes,
    uplink::Queue,
};

/// How long pieces may wait in the ring when they are too few to wake us.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often requests are looked for that wait for too long.
const TICK_EVERY: Duration = Duration::from_secs(1);
/// Rows of one batch: about 200 KiB on the wire.
const BATCH_ROWS: usize = 1000;
/// A period ends early when it has this many rows.
const MOST_ROWS: usize = 50_000;
/// Requests of different kinds that the kernel counts in one period, at about 500 bytes each.
const KERNEL_ENTRIES: u32 = 65_536;
/// Servers whose names are remembered.
const MOST_HOSTS: usize = 10_000;
/// What drop rules left out is counted as.
const DROPPED: [&str; 3] = [
    "httpflow_dropped_requests",
    "httpflow_dropped_packets",
    "httpflow_dropped_bytes",
];

/// Why the collector cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel shows no HTTP.
    #[error("the kernel does not show HTTP to the netflow collector: see its hook `http`")]
    NotShown,
    /// A pattern of routes is none.
    #[error(transparent)]
    Routes(#[from] PatternError),
    /// The system has no thread left.
    #[error("cannot start the httpflow collector")]
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
    /// Where names of servers are told.
    pub names: Arc<Names>,
}

/// The collector's thread.
pub struct Running {
    hooks: Vec<Chosen>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// How the kernel is to show HTTP.
#[must_use]
pub fn kernel_settings(config: &config::Httpflow) -> HttpSettings {
    HttpSettings {
        ring: config.ring.0 as u32,
        entries: KERNEL_ENTRIES,
        // A span needs what the kernel does not keep.
        counts: !config.spans.enabled,
        patience_ns: config.timeout.as_nanos() as u64,
    }
}

/// Where names of servers are known from, by network namespace, address and port.
type Hosts = HashMap<(u32, IpAddr, u16), Box<str>>;

struct Collector {
    http: Http,
    /// Above TLS, where that is wanted and works.
    tls: Option<Probes>,
    tracker: Tracker,
    rows: Rows,
    spans: Spans,
    hosts: Hosts,
    drops: Dropper,
    shared: Shared,
    config: config::Httpflow,
    read: u64,
    failures: u64,
    /// Spans that wait to be sent.
    events: Vec<FlowEvent>,
}

impl Running {
    /// Reports every period what `http` shows, in a thread of its own.
    ///
    /// # Errors
    /// If the kernel shows nothing.
    pub fn start(
        config: &config::Httpflow,
        http: Option<Http>,
        shared: Shared,
    ) -> Result<Self, StartError> {
        let http = http.ok_or(StartError::NotShown)?;
        let budget = Budget {
            paths: config.max_paths,
            routes: config.max_routes,
        };
        let routes = Routes::new(config.routes.iter().map(String::as_str))?;
        let (tls, hooks) = start_tls(config);
        let collector = Collector {
            http,
            tls,
            tracker: Tracker::new(Settings {
                max_connections: config.max_connections,
                timeout: config.timeout,
                redactions: config.redact.clone(),
            }),
            rows: Rows::new(budget, routes),
            spans: Spans::new(config.spans),
            hosts: Hosts::new(),
            drops: shared.drops.dropper(),
            shared,
            config: config.clone(),
            read: 0,
            failures: 0,
            events: Vec::new(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("httpflow".to_owned())
            .spawn(move || collector.run(&stopped))
            .map_err(StartError::Thread)?;
        Ok(Self {
            hooks,
            stop,
            thread,
        })
    }

    /// How plaintext above TLS is observed. How HTTP is, is among the hooks of netflow.
    #[must_use]
    pub fn hooks(&self) -> Vec<Chosen> {
        self.hooks.clone()
    }

    /// Reports what is left and ends the thread. Blocks for as long as one look takes.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("the httpflow collector panicked");
        }
    }
}

impl Collector {
    fn run(mut self, stop: &AtomicBool) {
        let mut began = Instant::now();
        let mut ticked = began;
        while !stop.load(Ordering::Relaxed) {
            let left = self.config.period.saturating_sub(began.elapsed());
            if left.is_zero() || self.rows.len() >= MOST_ROWS {
                began = self.report(began);
                continue;
            }
            self.wait(left.min(LOOK_EVERY));
            self.look();
            if ticked.elapsed() >= TICK_EVERY {
                ticked = Instant::now();
                self.tick();
            }
        }
        self.report(began);
    }

    fn wait(&self, most: Duration) {
        let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let pieces = readable(self.http.pieces.ready());
        let most = Timespec::try_from(most).ok();
        // An interrupted wait is only a shorter one.
        let _ready = match &self.tls {
            Some(tls) => poll(&mut [pieces, readable(tls.ready())], most.as_ref()),
            None => poll(&mut [pieces], most.as_ref()),
        };
    }

    /// Takes in what is in the ring.
    fn look(&mut self) {
        let Self {
            http,
            tls,
            tracker,
            rows,
            spans,
            hosts,
            events,
            shared,
            ..
        } = self;
        let ahead = unix_minus_monotonic_ns();
        let mut take =
            |output: Output<'_>| told(&output, rows, spans, hosts, &shared.names, events, ahead);
        self.read += http
            .pieces
            .drain(|piece, bytes| tracker.piece(piece, bytes, &mut take));
        if let Some(tls) = tls {
            tls.drain(|piece, bytes| tracker.piece(piece, bytes, &mut take));
        }
    }

    fn tick(&mut self) {
        let Self {
            tracker,
            rows,
            spans,
            hosts,
            events,
            shared,
            ..
        } = self;
        let ahead = unix_minus_monotonic_ns();
        let mut take =
            |output: Output<'_>| told(&output, rows, spans, hosts, &shared.names, events, ahead);
        tracker.tick(monotonic_ns(), &mut take);
        self.send_spans();
    }

    fn send_spans(&mut self) {
        if !self.events.is_empty() {
            let spans = std::mem::take(&mut self.events);
            self.shared.queue.push(spans);
        }
    }

    /// Ends a period and returns when the next one began.
    fn report(&mut self, began: Instant) -> Instant {
        // Names come by the ring, and belong to what the table has.
        self.look();
        let Self {
            http,
            rows,
            hosts,
            config,
            ..
        } = self;
        let done = http.table.end_period(|key, tally, new| {
            let host = hosts.get(&rows.server_of(key)).map(AsRef::as_ref);
            rows.add_counted(key, tally, &new, host, &config.redact);
        });
        if let Err(error) = done {
            self.failures += 1;
            tracing::warn!(error = crate::error_chain(&error), "requests not read");
        }
        let now = Instant::now();
        let length = now.duration_since(began).as_nanos() as u64;
        let mut events = self.rows.take(unix_ns(), length);
        let drops = &mut self.drops;
        events.retain(|event| !drops.drops_event(event, amount(event)));
        self.send_spans();
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

    fn tell(&self) {
        let mut counters = self.tracker.tally().counters();
        counters.extend(self.rows.counters());
        counters.extend(self.spans.counters());
        counters.extend(self.drops.counters(DROPPED));
        counters.extend(self.tls.iter().flat_map(Probes::counters));
        counters.push(counter("http_pieces_read", "", self.read));
        counters.push(counter("http_read_failures", "", self.failures));
        self.shared.status.set("httpflow", counters);
    }
}

/// Probes, if processes are chosen; and how they observe, or why they cannot.
fn start_tls(config: &config::Httpflow) -> (Option<Probes>, Vec<Chosen>) {
    if !config.tls.is_enabled() {
        return (None, Vec::new());
    }
    match Probes::start(&config.tls) {
        Ok(probes) => {
            let hooks = probes.hooks().to_vec();
            (Some(probes), hooks)
        }
        Err(error) => {
            let why = crate::error_chain(&error);
            tracing::error!("nothing is read above TLS: {why}");
            (None, vec![Chosen::none("tls", why)])
        }
    }
}

/// Takes what the tracker tells.
fn told(
    output: &Output<'_>,
    rows: &mut Rows,
    spans: &mut Spans,
    hosts: &mut Hosts,
    names: &Names,
    events: &mut Vec<FlowEvent>,
    ahead_ns: u64,
) {
    match output {
        Output::Exchange(exchange) => {
            rows.add(exchange);
            events.extend(spans.take(exchange, rows, ahead_ns));
        }
        Output::ServerName(ServerName {
            ends,
            is_client: true,
            name,
            source: DomainSource::Http,
        }) => {
            if hosts.len() >= MOST_HOSTS {
                hosts.clear();
            }
            let server = (ends.netns, ends.remote, ends.remote_port);
            hosts.insert(server, (*name).into());
        }
        Output::ServerName(ServerName {
            ends,
            is_client: true,
            name,
            source: DomainSource::Sni,
        }) => names.learn_server(ends.netns, ends.remote, name, monotonic_ns()),
        Output::ServerName(_) => {}
    }
}

fn amount(event: &FlowEvent) -> Amount {
    match &event.data {
        Some(weir_proto::flow::v1::flow_event::Data::Httpflow(row)) => Amount {
            items: row.count,
            packets: 0,
            bytes: row.bytes_read + row.bytes_written,
        },
        _ => Amount::default(),
    }
}

fn unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

fn unix_minus_monotonic_ns() -> u64 {
    unix_ns().wrapping_sub(monotonic_ns())
}
