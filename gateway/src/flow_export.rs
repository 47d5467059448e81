//! Flows through the OTLP exporters: as metrics, as log records, as spans.

mod cumulative;
pub(crate) mod envelope;
mod metrics;
mod outlet;
mod records;
mod window;
pub(crate) mod wire;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::error;
use weir_point::{PointBatch, otlp::Signal};

use self::{
    cumulative::Cumulative,
    outlet::Outlet,
    records::FlowRecords,
    window::{Entry, Gathered, Window},
};
use crate::{
    exporter::{Exporter, Flows, Shape, Temporality},
    fanout::{Cause, Output},
    profile::Profile,
    self_metrics::SelfMetrics,
};

/// Points gathered for one round of requests. Gathering ends early at this many.
const MOST_GATHERED: usize = 8192;
/// Rows in one request. With all metrics of a row this is as a rule well below what receivers take.
const ROWS_PER_REQUEST: usize = 256;
/// Receivers take 4 MiB by default; rows with very long names come in more requests.
const LARGEST_REQUEST: usize = 3 << 20;

/// One output for every shape that `flows` asks for. Needs a Tokio runtime. Once they are closed,
/// everything they were offered is in the queue of `exporter`, or counted as dropped.
pub fn outputs(
    flows: &Flows,
    exporter: &Arc<Exporter>,
    metrics: &SelfMetrics,
) -> Vec<Arc<dyn Output>> {
    let profile = flows.profile;
    let output = |shape: &Shape| -> Arc<dyn Output> {
        match shape {
            Shape::Metrics => FlowMetrics::start(flows, exporter, metrics),
            Shape::Logs => Arc::new(FlowRecords::logs(exporter, profile, metrics)),
            Shape::Spans => Arc::new(FlowRecords::spans(exporter, profile, metrics)),
        }
    };
    flows.shapes.iter().map(output).collect()
}

/// Gathers Points for a moment, so that those of one period that came in several batches meet in
/// one data point.
struct FlowMetrics {
    outlet: Outlet,
    profile: &'static Profile,
    temporality: Temporality,
    gather: Duration,
    window: Mutex<Window>,
    /// Held while a window is handed on, so that windows go one after the other.
    sums: Mutex<Option<Cumulative>>,
    arrived: Notify,
    closed: CancellationToken,
}

impl FlowMetrics {
    fn start(flows: &Flows, exporter: &Arc<Exporter>, metrics: &SelfMetrics) -> Arc<Self> {
        let own = (exporter.name(), metrics);
        let sums = (flows.temporality == Temporality::Cumulative)
            .then(|| Cumulative::new(flows.profile, &flows.budget, flows.idle_expiry, own));
        let this = Arc::new(Self {
            outlet: Outlet::new(exporter, Signal::Metrics, Shape::Metrics.name(), metrics),
            profile: flows.profile,
            temporality: flows.temporality,
            gather: flows.gather,
            window: Mutex::new(Window::new(flows.profile)),
            sums: Mutex::new(sums),
            arrived: Notify::new(),
            closed: CancellationToken::new(),
        });
        tokio::spawn(Arc::clone(&this).hand_on_in_time());
        tokio::spawn(Arc::clone(&this).sweep(flows.idle_expiry));
        this
    }

    async fn hand_on_in_time(self: Arc<Self>) {
        let closed = self.closed.clone();
        while closed
            .run_until_cancelled(self.arrived.notified())
            .await
            .is_some()
            && closed
                .run_until_cancelled(sleep(self.gather))
                .await
                .is_some()
        {
            let this = Arc::clone(&self);
            if let Err(failure) = spawn_blocking(move || this.hand_on()).await {
                let error = &failure as &dyn std::error::Error;
                error!(error, "handing flows on failed");
            }
        }
    }

    /// Forget idle series from time to time.
    async fn sweep(self: Arc<Self>, idle_expiry: Duration) {
        if self.temporality == Temporality::Delta {
            return;
        }
        let mut ticks = interval((idle_expiry / 4).max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self
            .closed
            .run_until_cancelled(ticks.tick())
            .await
            .is_some()
        {
            if let Some(sums) = &mut *lock(&self.sums) {
                sums.sweep();
            }
        }
    }

    /// Hand everything gathered to the exporter.
    fn hand_on(&self) {
        let mut sums = lock(&self.sums);
        let Gathered {
            mut entries,
            silent,
            points,
        } = lock(&self.window).take();
        self.outlet.ledger.unqueued(points);
        self.outlet.ledger.delivered(silent);
        if let Some(sums) = &mut *sums {
            entries = sums.add(entries);
        }
        entries.sort_by(|a, b| a.resource().cmp(b.resource()));
        for entries in entries.chunks(ROWS_PER_REQUEST) {
            self.request(entries);
        }
    }

    fn request(&self, entries: &[Entry]) {
        let request = metrics::request(self.profile, self.temporality, entries);
        if request.len() > LARGEST_REQUEST && entries.len() > 1 {
            let (first, second) = entries.split_at(entries.len() / 2);
            self.request(first);
            return self.request(second);
        }
        let points = entries.iter().map(|entry| entry.points).sum();
        self.outlet.hand_on(request, points);
    }
}

impl Output for FlowMetrics {
    fn offer(&self, batch: &Arc<PointBatch>) {
        let ledger = &self.outlet.ledger;
        ledger.offered(batch.len());
        let (is_first, is_full) = {
            let mut window = lock(&self.window);
            if self.closed.is_cancelled() {
                ledger.dropped(Cause::Stopped, batch.len());
                return;
            }
            let is_first = window.points() == 0;
            let unknown = window.add(batch);
            ledger.dropped(Cause::NotInProfile, unknown);
            ledger.queued(batch.len() - unknown);
            (is_first, window.points() >= MOST_GATHERED)
        };
        if is_full || self.gather.is_zero() {
            self.hand_on();
        } else if is_first {
            self.arrived.notify_one();
        }
    }

    fn close(&self) {
        {
            let _no_offer_is_under_way = lock(&self.window);
            self.closed.cancel();
        }
        self.hand_on();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
