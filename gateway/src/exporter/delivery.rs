//! From the lanes to the endpoint: gathers, sends and tries again.

use std::{
    error::Error,
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, JoinSet, spawn_blocking},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use weir_runtime::backoff::Backoff;

use super::{
    Lanes,
    answer::{Answer, Failure, Partial},
    body::Pieces,
    config::{Compression, Config},
    ledger::{Attempt, Cause},
    queue::{Lane, Outcome},
    throttle::Throttle,
    tls::TlsError,
    transport::Transport,
};

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// A server may ask for patience, but not for ever.
const LONGEST_ASKED_DELAY: Duration = Duration::from_secs(10 * 60);

/// The sending side of one exporter.
pub(super) struct Delivery {
    link: Arc<Link>,
}

/// How to send. What is under way when it changes is tried again by the new one.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) config: Config,
    transport: Transport,
}

impl Way {
    pub(super) fn new(config: Config) -> Result<Self, TlsError> {
        let transport = Transport::new(&config)?;
        Ok(Self { config, transport })
    }
}

/// What every request under way shares.
struct Link {
    exporter: String,
    way: watch::Receiver<Arc<Way>>,
    stop: CancellationToken,
    /// The endpoint did not take the latest request.
    failing: AtomicBool,
    /// During a stop the endpoint did not take something that can stay on disk.
    left: AtomicBool,
    partial: Throttle,
    dropped: Throttle,
}

impl Delivery {
    pub(super) fn new(
        exporter: &str,
        way: watch::Receiver<Arc<Way>>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            link: Arc::new(Link {
                exporter: exporter.to_owned(),
                way,
                stop,
                failing: AtomicBool::new(false),
                left: AtomicBool::new(false),
                partial: Throttle::default(),
                dropped: Throttle::default(),
            }),
        }
    }

    /// Send what comes until a stop is requested, and then what is left.
    pub(super) async fn run(self, lanes: Arc<Lanes>) {
        let [traces, metrics, logs] = &*lanes;
        let sending = async {
            tokio::join!(self.pump(traces), self.pump(metrics), self.pump(logs));
        };
        tokio::select! {
            () = sending => {}
            () = keep_synced(&lanes, self.link.way.clone()) => {}
        }
    }

    async fn pump(&self, lane: &Arc<Lane>) {
        // Of its own, so that a signal the endpoint does not take holds up no other.
        let mut in_flight = self.link.way().config.in_flight;
        let mut slots = Arc::new(Semaphore::new(in_flight));
        let mut under_way = JoinSet::new();
        loop {
            let batch = self.link.way().config.batch;
            if !lane.ready(&batch, &self.link.stop).await {
                break;
            }
            let now = self.link.way().config.in_flight;
            if now != in_flight {
                in_flight = now;
                // Those under way with the old ones are not counted against it.
                slots = Arc::new(Semaphore::new(in_flight));
            }
            while let Some(ended) = under_way.try_join_next() {
                check(ended);
            }
            // While this waits, more requests come to be merged.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                break;
            };
            if self.link.left.load(Ordering::Acquire) {
                break;
            }
            let Some(taken) = lane.take(batch.size).await else {
                continue;
            };
            let (link, lane) = (Arc::clone(&self.link), Arc::clone(lane));
            under_way.spawn(async move { link.deliver(&lane, taken, slot).await });
        }
        while let Some(ended) = under_way.join_next().await {
            check(ended);
        }
    }
}

fn check(ended: Result<(), JoinError>) {
    if let Err(failure) = ended {
        error!(error = &failure as &dyn Error, "sending a request panicked");
    }
}

/// Force queues to the disk now and then, for ever.
async fn keep_synced(lanes: &Lanes, mut way: watch::Receiver<Arc<Way>>) {
    let durable: Vec<Arc<Lane>> = lanes.iter().filter(|l| l.is_durable()).cloned().collect();
    if durable.is_empty() {
        return pending().await;
    }
    loop {
        let every = way.borrow_and_update().config.queue.sync;
        let due = async {
            match every {
                Some(every) => sleep(every).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = another(&mut way) => continue,
        }
        let lanes = durable.clone();
        let synced = spawn_blocking(move || lanes.iter().for_each(|lane| lane.sync())).await;
        check(synced);
    }
}

/// Waits until there is another way; for ever, if there will be none.
async fn another(way: &mut watch::Receiver<Arc<Way>>) {
    if way.changed().await.is_err() {
        pending().await
    }
}

impl Link {
    fn way(&self) -> Arc<Way> {
        Arc::clone(&self.way.borrow())
    }

    async fn deliver(
        &self,
        lane: &Arc<Lane>,
        mut taken: super::queue::Taken,
        slot: OwnedSemaphorePermit,
    ) {
        let pieces = std::mem::take(&mut taken.pieces);
        let outcome = match self.send(lane, pieces, taken.amount.items).await {
            Ok(outcome) => outcome,
            Err(failure) => {
                error!(
                    exporter = self.exporter,
                    error = &failure as &dyn Error,
                    "a request cannot be encoded"
                );
                Some(Outcome::Dropped(Cause::Refused))
            }
        };
        if let Some(outcome) = outcome {
            lane.settle(taken, outcome).await;
        }
        drop(slot);
    }

    async fn encode(&self, way: &Way, pieces: Vec<Bytes>) -> io::Result<Pieces> {
        let (compression, protocol) = way.transport.encoding();
        let encode = move || Pieces::encode(pieces, compression, protocol);
        if compression == Compression::None {
            return encode();
        }
        // Milliseconds of work.
        spawn_blocking(encode).await.map_err(io::Error::other)?
    }

    /// Send `pieces` as one request until the endpoint has taken or refused it. `None` if it stays in the queue
    /// for the next start.
    async fn send(
        &self,
        lane: &Lane,
        pieces: Vec<Bytes>,
        items: u64,
    ) -> io::Result<Option<Outcome>> {
        let started = Instant::now();
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        let mut way = self.way();
        let mut body = self.encode(&way, pieces.clone()).await?;
        loop {
            let answer = way.transport.attempt(lane.signal, body.clone()).await;
            let (after, failure) = match answer {
                Answer::Accepted(partial) => return Ok(Some(self.accepted(lane, partial))),
                Answer::Refused(failure) => {
                    lane.ledger.attempt(Attempt::Refused);
                    self.report_dropped(lane, items, &failure, "refused");
                    return Ok(Some(Outcome::Dropped(Cause::Refused)));
                }
                Answer::Later { after, failure } => (after, failure),
            };
            lane.ledger.attempt(Attempt::Unavailable);
            self.report_failing(lane, &failure);
            if lane.is_durable() && self.stop.is_cancelled() {
                self.left.store(true, Ordering::Release);
                return Ok(None);
            }
            let own = backoff.next_delay();
            let delay = after.map_or(own, |asked| asked.min(LONGEST_ASKED_DELAY).max(own));
            let gives_up = |most: Duration| started.elapsed() + delay > most;
            let mut changes = self.way.clone();
            let now = Arc::clone(&changes.borrow_and_update());
            if Arc::ptr_eq(&now, &way) {
                if way.config.give_up_after.is_some_and(gives_up) {
                    self.report_dropped(lane, items, &failure, "not taken for too long");
                    return Ok(Some(Outcome::Dropped(Cause::Expired)));
                }
                tokio::select! {
                    () = self.pause(lane, delay) => {}
                    () = another(&mut changes) => {}
                }
            }
            let now = self.way();
            if !Arc::ptr_eq(&now, &way) {
                way = now;
                backoff.reset();
                body = self.encode(&way, pieces.clone()).await?;
            }
            lane.ledger.retry();
        }
    }

    /// A stop ends the wait for what can stay on disk: it gets one more try.
    async fn pause(&self, lane: &Lane, delay: Duration) {
        if lane.is_durable() {
            tokio::select! {
                () = sleep(delay) => {}
                () = self.stop.cancelled() => {}
            }
        } else {
            sleep(delay).await;
        }
    }

    fn accepted(&self, lane: &Lane, partial: Partial) -> Outcome {
        if self.failing.swap(false, Ordering::AcqRel) {
            info!(
                exporter = self.exporter,
                "OTLP endpoint takes requests again"
            );
        }
        let Partial { rejected, message } = partial;
        lane.ledger.attempt(if rejected > 0 {
            Attempt::Partial
        } else {
            Attempt::Accepted
        });
        if rejected > 0 || !message.is_empty() {
            let (exporter, signal) = (&self.exporter, lane.signal.name());
            self.partial.run(|left_out| {
                warn!(
                    exporter,
                    signal, rejected, message, left_out, "OTLP endpoint took a request in part"
                );
            });
        }
        Outcome::Sent { rejected }
    }

    fn report_failing(&self, lane: &Lane, failure: &Failure) {
        if !self.failing.swap(true, Ordering::AcqRel) {
            warn!(
                exporter = self.exporter,
                signal = lane.signal.name(),
                error = failure as &dyn Error,
                "OTLP endpoint does not take requests, trying again"
            );
        }
    }

    fn report_dropped(&self, lane: &Lane, items: u64, failure: &Failure, why: &'static str) {
        let (exporter, signal) = (&self.exporter, lane.signal.name());
        self.dropped.run(|left_out| {
            let error = failure as &dyn Error;
            warn!(
                exporter,
                signal, items, why, left_out, error, "a request is dropped"
            );
        });
    }
}
