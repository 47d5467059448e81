//! The live stream: a bounded queue per subscriber, filled with what it asked for.

mod filter;
mod message;

use std::{
    pin::Pin,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use futures_util::{Stream, stream};
use metrics::{Counter, Gauge};
use tokio::sync::Notify;
use tonic::{Request, Response, Status};
use tracing::info;
use weir_point::{
    Category, PointBatch,
    otlp::{Encoder, OtlpBatch},
};
use weir_proto::observe::v1::{
    Lost, SubscribeRequest, SubscribeResponse,
    observe_server::{Observe, ObserveServer},
    subscribe_response,
};

use self::filter::{Filter, FilterError};
use crate::{
    fanout::{self, Cause, Ledger, Output, Receiver, Sender},
    self_metrics::{SUBSCRIBERS, SUBSCRIPTIONS_REFUSED, SelfMetrics},
};

/// Flows in one message: about 200 KiB, far below the 4 MiB a client takes.
const POINTS_PER_MESSAGE: usize = 256;

/// All subscribers of one gateway.
pub struct Subscribers {
    queue: usize,
    limit: usize,
    ledger: Arc<Ledger>,
    /// `None` once nothing more comes.
    open: RwLock<Option<Vec<Subscriber>>>,
    /// How many subscribers want each category, so that a batch nobody wants costs one look.
    wanting: [AtomicUsize; 4],
    count: Gauge,
    refused_filter: Counter,
    refused_category: Counter,
    refused_limit: Counter,
}

/// The side of the fan-out.
struct Subscriber {
    filter: Filter,
    sender: Sender<Selected>,
    lost: Arc<Loss>,
}

/// Matching Points that did not fit into the queue since this was last told.
#[derive(Debug, Default)]
struct Loss {
    points: AtomicU64,
    changed: Notify,
}

/// The matching Points of a batch.
enum Selected {
    /// Their places, rising.
    Some {
        batch: Arc<PointBatch>,
        places: Vec<u32>,
    },
    /// All of a request, still encoded. If others came with them, it is a copy without those: what waits must not
    /// hold more memory than it has use for.
    Otlp { batch: OtlpBatch, points: usize },
}

impl Selected {
    fn points(&self) -> usize {
        match self {
            Self::Some { places, .. } => places.len(),
            Self::Otlp { points, .. } => *points,
        }
    }
}

impl Subscribers {
    /// Up to `limit` subscribers, each with a queue for `queue` Points.
    pub fn new(queue: usize, limit: usize, metrics: &SelfMetrics) -> Arc<Self> {
        Arc::new(Self {
            queue,
            limit,
            ledger: Arc::new(Ledger::new(metrics, "subscription")),
            open: RwLock::new(Some(Vec::new())),
            wanting: Default::default(),
            count: metrics.gauge(&SUBSCRIBERS, &[]),
            refused_filter: metrics.counter(&SUBSCRIPTIONS_REFUSED, &["filter"]),
            refused_category: metrics.counter(&SUBSCRIPTIONS_REFUSED, &["category"]),
            refused_limit: metrics.counter(&SUBSCRIPTIONS_REFUSED, &["limit"]),
        })
    }

    /// The gRPC service.
    pub fn service(self: &Arc<Self>) -> ObserveServer<impl Observe> {
        ObserveServer::new(Service(Arc::clone(self)))
    }

    fn subscribe(self: &Arc<Self>, request: SubscribeRequest) -> Result<Subscription, Status> {
        let filter = Filter::new(request.filters, &request.categories).map_err(|mistake| {
            match mistake {
                FilterError::NoCategory { .. } => self.refused_category.increment(1),
                FilterError::NoKey | FilterError::TooMany { .. } => {
                    self.refused_filter.increment(1)
                }
            }
            Status::invalid_argument(mistake.to_string())
        })?;
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let list = open
            .as_mut()
            .ok_or_else(|| Status::unavailable("the gateway is stopping"))?;
        if list.len() >= self.limit {
            self.refused_limit.increment(1);
            return Err(Status::resource_exhausted("too many subscribers"));
        }
        let ledger = Arc::clone(&self.ledger);
        let (sender, queue) = fanout::queue(self.queue, ledger, Cause::SubscriberGone);
        let lost = Arc::new(Loss::default());
        let categories = filter.categories().to_vec();
        for category in &categories {
            self.wanting[*category as usize].fetch_add(1, Ordering::AcqRel);
        }
        list.push(Subscriber {
            filter,
            sender,
            lost: Arc::clone(&lost),
        });
        self.count.increment(1);
        Ok(Subscription {
            all: Arc::clone(self),
            queue,
            lost,
            categories,
            current: None,
        })
    }

    /// Hands the items of `batch` to those who want them. Must not wait; costs nothing if nobody does.
    pub fn offer_otlp(&self, batch: &OtlpBatch) {
        let category = batch.signal().category();
        if self.wanting[category as usize].load(Ordering::Relaxed) == 0 {
            return;
        }
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        for subscriber in open.iter().flatten() {
            if subscriber.filter.takes(category) {
                subscriber.offer_otlp(batch);
            }
        }
    }

    fn unsubscribe(&self, lost: &Arc<Loss>, categories: &[Category]) {
        for category in categories {
            self.wanting[*category as usize].fetch_sub(1, Ordering::AcqRel);
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = open.as_mut() {
            list.retain(|subscriber| !Arc::ptr_eq(&subscriber.lost, lost));
        }
        self.count.decrement(1);
    }
}

impl Output for Subscribers {
    fn offer(&self, batch: &Arc<PointBatch>) {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        for subscriber in open.iter().flatten() {
            subscriber.offer(batch);
        }
    }

    fn close(&self) {
        self.open
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

impl Subscriber {
    /// The filter comes before the queue, so that Points nobody asked for cannot push
    /// out the ones that were, and every loss is known exactly.
    fn offer(&self, batch: &Arc<PointBatch>) {
        let matching = (0..).zip(batch.points());
        let places: Vec<u32> = matching
            .filter(|(_, point)| self.filter.matches(point))
            .map(|(place, _)| place)
            .collect();
        self.queue(Selected::Some {
            batch: Arc::clone(batch),
            places,
        });
    }

    /// As [`Self::offer`]; nothing is decoded that the filter does not ask for.
    fn offer_otlp(&self, batch: &OtlpBatch) {
        let selected = if self.filter.takes_all() {
            Selected::Otlp {
                batch: batch.clone(),
                points: batch.points().count(),
            }
        } else {
            let mut encoder = Encoder::new(batch.signal());
            let mut points = 0;
            for point in batch.points().filter(|own| self.filter.matches_ref(own)) {
                encoder.keep(&point);
                points += 1;
            }
            let batch = encoder.finish();
            Selected::Otlp { batch, points }
        };
        self.queue(selected);
    }

    fn queue(&self, selected: Selected) {
        let points = selected.points();
        if points == 0 {
            return;
        }
        if !self.sender.offer(selected, points) {
            self.lost.points.fetch_add(points as u64, Ordering::AcqRel);
            self.lost.changed.notify_one();
        }
    }
}

/// The side of the subscriber. Leaves the list when the stream is dropped.
struct Subscription {
    all: Arc<Subscribers>,
    queue: Receiver<Selected>,
    lost: Arc<Loss>,
    categories: Vec<Category>,
    /// What is being sent, and how much of it was.
    current: Option<(Selected, usize)>,
}

impl Subscription {
    async fn next(&mut self) -> Option<SubscribeResponse> {
        loop {
            if let Some(batch) = self.next_part() {
                return Some(response(subscribe_response::Message::Batch(batch)));
            }
            let lost = self.lost.points.swap(0, Ordering::AcqRel);
            if lost > 0 {
                let lost = Lost { points: lost };
                return Some(response(subscribe_response::Message::Lost(lost)));
            }
            tokio::select! {
                biased;
                () = self.lost.changed.notified() => {}
                selected = self.queue.recv() => match selected {
                    Some((selected, _)) => self.current = Some((selected, 0)),
                    None if self.lost.points.load(Ordering::Acquire) > 0 => {}
                    None => return None,
                },
            }
        }
    }

    fn next_part(&mut self) -> Option<weir_proto::observe::v1::PointBatch> {
        let (selected, sent) = self.current.as_mut()?;
        let message = match selected {
            Selected::Some { batch, places } => {
                let rest = &places[*sent..];
                message::of(batch, &rest[..rest.len().min(POINTS_PER_MESSAGE)])
            }
            Selected::Otlp { batch, .. } => message::of_otlp(batch, *sent),
        };
        let part = message.points.len();
        *sent += part;
        self.all.ledger.delivered(part);
        if *sent >= selected.points() {
            self.current = None;
        }
        Some(message)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some((selected, sent)) = &self.current {
            let unsent = selected.points().saturating_sub(*sent);
            self.all.ledger.dropped(Cause::SubscriberGone, unsent);
        }
        self.all.unsubscribe(&self.lost, &self.categories);
    }
}

fn response(message: subscribe_response::Message) -> SubscribeResponse {
    SubscribeResponse {
        message: Some(message),
    }
}

struct Service(Arc<Subscribers>);

type Responses = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Observe for Service {
    type SubscribeStream = Responses;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Responses>, Status> {
        let peer = request.remote_addr();
        let subscription = self.0.subscribe(request.into_inner())?;
        info!(
            peer = peer.map(tracing::field::display),
            "subscriber connected"
        );
        // Driven by the client's reading: what it does not take stays in the queue.
        let responses = stream::unfold(subscription, async |mut subscription| {
            Some((Ok(subscription.next().await?), subscription))
        });
        Ok(Response::new(Box::pin(responses)))
    }
}
