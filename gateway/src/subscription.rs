//! The live stream: a bounded queue per subscriber, filled with what it asked for.

mod filter;
mod message;

use std::{
    pin::Pin,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{Stream, stream};
use metrics::{Counter, Gauge};
use tokio::sync::Notify;
use tonic::{Request, Response, Status};
use tracing::info;
use weir_point::PointBatch;
use weir_proto::observe::v1::{
    Lost, SubscribeRequest, SubscribeResponse,
    observe_server::{Observe, ObserveServer},
    subscribe_response,
};

use self::filter::Filter;
use crate::{
    fanout::{self, Cause, Ledger, Output, Receiver, Sender},
    self_metrics::{SUBSCRIBERS, SUBSCRIPTIONS_REFUSED, SelfMetrics},
};

/// Points in one message: about 200 KiB, far below the 4 MiB a client takes.
const POINTS_PER_MESSAGE: usize = 256;

/// All subscribers of one gateway.
pub struct Subscribers {
    queue: usize,
    limit: usize,
    ledger: Arc<Ledger>,
    /// `None` once nothing more comes.
    open: RwLock<Option<Vec<Subscriber>>>,
    count: Gauge,
    refused_filter: Counter,
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

/// The matching Points of a batch: their places, rising.
struct Selected {
    batch: Arc<PointBatch>,
    places: Vec<u32>,
}

impl Subscribers {
    /// Up to `limit` subscribers, each with a queue for `queue` Points.
    pub fn new(queue: usize, limit: usize, metrics: &SelfMetrics) -> Arc<Self> {
        Arc::new(Self {
            queue,
            limit,
            ledger: Arc::new(Ledger::new(metrics, "subscription")),
            open: RwLock::new(Some(Vec::new())),
            count: metrics.gauge(&SUBSCRIBERS, &[]),
            refused_filter: metrics.counter(&SUBSCRIPTIONS_REFUSED, &["filter"]),
            refused_limit: metrics.counter(&SUBSCRIPTIONS_REFUSED, &["limit"]),
        })
    }

    /// The gRPC service.
    pub fn service(self: &Arc<Self>) -> ObserveServer<impl Observe> {
        ObserveServer::new(Service(Arc::clone(self)))
    }

    fn subscribe(self: &Arc<Self>, request: SubscribeRequest) -> Result<Subscription, Status> {
        let filter = Filter::new(request.filters).map_err(|mistake| {
            self.refused_filter.increment(1);
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
            current: None,
        })
    }

    fn unsubscribe(&self, lost: &Arc<Loss>) {
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
        if places.is_empty() {
            return;
        }
        let points = places.len();
        let selected = Selected {
            batch: Arc::clone(batch),
            places,
        };
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
        let rest = &selected.places[*sent..];
        let part = &rest[..rest.len().min(POINTS_PER_MESSAGE)];
        let message = message::of(&selected.batch, part);
        *sent += part.len();
        self.all.ledger.delivered(part.len());
        if *sent == selected.places.len() {
            self.current = None;
        }
        Some(message)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some((selected, sent)) = &self.current {
            let unsent = selected.places.len() - sent;
            self.all.ledger.dropped(Cause::SubscriberGone, unsent);
        }
        self.all.unsubscribe(&self.lost);
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
