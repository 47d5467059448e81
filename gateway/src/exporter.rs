//! Forwards OTLP requests to one endpoint: queued within a limit, merged without being decoded,
//! sent until the endpoint has taken or refused them.

mod answer;
mod body;
mod config;
mod delivery;
mod ledger;
mod queue;
mod throttle;
mod tls;
mod transport;

use std::sync::{Arc, Mutex, PoisonError};

use metrics::Gauge;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use weir_point::otlp::{OtlpBatch, Signal};
use weir_runtime::stop::Deadline;

#[doc(hidden)]
pub use self::queue::{Drained, drain_queue};
pub use self::{
    config::{Batch, Compression, Config, Flows, Protocol, Queue, Shape, Temporality, Tls},
    queue::{Full, OpenError},
    tls::TlsError,
};
use self::{
    delivery::{Delivery, Way},
    ledger::Ledger,
    queue::{Budget, Folder, Lane},
};
use crate::self_metrics::{
    EXPORTER_QUEUE_BYTES, EXPORTER_QUEUE_LIMIT, EXPORTER_UNREADABLE, SelfMetrics,
};

/// An exporter could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its certificates or its key cannot be used.
    #[error("exporter {name:?}: TLS cannot be set up")]
    Tls {
        /// The exporter.
        name: String,
        /// Why.
        source: TlsError,
    },
    /// Its queue on disk cannot be used.
    #[error("exporter {name:?}: there is no queue")]
    Queue {
        /// The exporter.
        name: String,
        /// Why.
        source: OpenError,
    },
}

/// Forwards to one endpoint until it is stopped.
#[derive(Debug)]
pub struct Exporter {
    name: String,
    way: watch::Sender<Arc<Way>>,
    budget: Arc<Budget>,
    limit: Gauge,
    /// By [`Signal`].
    lanes: Arc<Lanes>,
    folder: Option<Folder>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

type Lanes = [Arc<Lane>; SIGNALS.len()];

/// In the order of their numbers.
const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

impl Exporter {
    /// Start forwarding, first of all what a queue on disk still holds. `name` tells this
    /// exporter from others in metrics and in the log. Needs a Tokio runtime; the endpoint
    /// need not be there yet.
    ///
    /// # Errors
    /// Certificates cannot be read, or the folder of the queue cannot be used.
    pub fn start(name: &str, config: Config, metrics: &SelfMetrics) -> Result<Self, StartError> {
        let way = Way::new(config).map_err(|source| StartError::Tls {
            name: name.to_owned(),
            source,
        })?;
        let config = &way.config;
        let (folder, budget, lanes) =
            open(name, config, metrics).map_err(|source| StartError::Queue {
                name: name.to_owned(),
                source,
            })?;
        let limit = metrics.gauge(&EXPORTER_QUEUE_LIMIT, &[name]);
        limit.set(ledger::float(config.queue.size));
        let lanes = Arc::new(lanes);
        let stop = CancellationToken::new();
        info!(exporter = name, endpoint = %config.endpoint, "OTLP is forwarded");
        let (way, ways) = watch::channel(Arc::new(way));
        let delivery = Delivery::new(name, ways, stop.clone());
        let task = tokio::spawn(delivery.run(Arc::clone(&lanes)));
        Ok(Self {
            name: name.to_owned(),
            way,
            budget,
            limit,
            lanes,
            folder,
            stop,
            task: Mutex::new(Some(task)),
        })
    }

    /// Go over to `config`, which has its queue in the same place. What is queued stays, and what is under way is tried
    /// again by the new one if the old one fails.
    ///
    /// # Errors
    /// Certificates cannot be read; then everything is as before.
    pub fn change(&self, config: Config) -> Result<(), StartError> {
        let size = config.queue.size;
        info!(exporter = self.name, endpoint = %config.endpoint, "OTLP is forwarded otherwise");
        let way = Way::new(config).map_err(|source| StartError::Tls {
            name: self.name.clone(),
            source,
        })?;
        self.budget.limit(size);
        self.limit.set(ledger::float(size));
        self.way.send_replace(Arc::new(way));
        Ok(())
    }

    /// What tells it from others.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether OTLP that is received is forwarded here, if it is of `signal`.
    pub fn forwards(&self, signal: Signal) -> bool {
        self.way.borrow().config.signals.contains(&signal)
    }

    /// Take a batch. With a folder for the queue it is on disk when this returns, safe from
    /// the death of the process; that may take as long as a write to a file does.
    ///
    /// # Errors
    /// The batch was not taken: there is no room, or the exporter has stopped. The caller
    /// keeps it or tells whoever sent it.
    pub fn offer(&self, batch: &OtlpBatch) -> Result<(), Full> {
        let limit = self.way.borrow().config.batch;
        self.lanes[batch.signal() as usize].offer(batch, &limit)
    }

    /// Send what is there, as long as there is time. What is then left in a queue on disk stays
    /// for the next start; what is left in memory is counted as dropped. Whether nothing is
    /// left in memory. Offers may come until the end of the time; they are refused after.
    pub async fn stop(&self, deadline: &Deadline) -> bool {
        self.stop.cancel();
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            deadline.finish("exporter", task).await;
        }
        let left = self.close();
        if left > 0 {
            let exporter = &self.name;
            warn!(
                exporter,
                items = left,
                "items were left in the queue in memory"
            );
        }
        left == 0
    }

    /// The items that are lost by it.
    fn close(&self) -> u64 {
        let left = self.lanes.iter().map(|lane| lane.close().items).sum();
        if let Some(folder) = &self.folder
            && let Err(error) = folder.unlock()
        {
            let exporter = &self.name;
            warn!(
                exporter,
                error = &error as &dyn std::error::Error,
                "cannot unlock the queue"
            );
        }
        left
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let task = self
            .task
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // Not stopped in order.
        if let Some(task) = task {
            task.abort();
            self.close();
        }
    }
}

fn open(
    name: &str,
    config: &Config,
    metrics: &SelfMetrics,
) -> Result<(Option<Folder>, Arc<Budget>, Lanes), OpenError> {
    let size = config.queue.size;
    let unreadable = metrics.counter(&EXPORTER_UNREADABLE, &[name]);
    let folder = match &config.queue.folder {
        Some(path) => Some(Folder::lock(path, size, unreadable)?),
        None => None,
    };
    let used = metrics.gauge(&EXPORTER_QUEUE_BYTES, &[name]);
    let budget = Arc::new(Budget::new(size, used));
    let lane = |signal| {
        let ledger = Ledger::new(metrics, name, signal);
        let budget = Arc::clone(&budget);
        let lane = match &folder {
            Some(folder) => Lane::on_disk(signal, ledger, budget, folder)?,
            None => Lane::in_memory(signal, ledger, budget),
        };
        Ok(Arc::new(lane))
    };
    let [traces, metrics, logs] = SIGNALS.map(lane);
    let lanes = [traces?, metrics?, logs?];
    Ok((folder, budget, lanes))
}
