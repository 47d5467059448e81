//! Flow intake: the streams of the agents, each batch processed once and acked.

pub(crate) mod address;
mod dnsflow;
pub mod event;
pub(crate) mod httpflow;
mod meter;
mod netflow;
mod refusal;
mod runs;
mod session;

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, stream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};
use weir_point::{PointBatch, Text};
use weir_proto::flow::v1::{
    AgentMessage, FlowBatch, GatewayMessage,
    flow_event::Data,
    flow_intake_server::{FlowIntake, FlowIntakeServer},
};

use self::{meter::Meter, runs::Runs, session::Session};
use crate::{
    agent_settings::AgentSettings,
    agents::Agents,
    fanout::Fanout,
    http_spans::HttpSpans,
    scripts::Scripts,
    self_metrics::{RUNS_FORGOTTEN, SelfMetrics},
};

/// What all streams share.
pub struct Intake {
    runs: Arc<Runs>,
    agents: Arc<Agents>,
    settings: Arc<AgentSettings>,
    scripts: Arc<Scripts>,
    fanout: Arc<Fanout>,
    spans: HttpSpans,
    meter: Meter,
    stopping: CancellationToken,
    open: TaskTracker,
}

impl Intake {
    /// An intake that hands Points through `scripts` to `fanout` and spans to `spans`, remembers as many agent runs as there is room for
    /// hosts in `agents`, tells them their `settings`, and ends its streams once `stopping` is cancelled.
    pub fn new(
        agents: Arc<Agents>,
        settings: Arc<AgentSettings>,
        scripts: Arc<Scripts>,
        fanout: Arc<Fanout>,
        spans: HttpSpans,
        metrics: &SelfMetrics,
        stopping: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            runs: Arc::new(Runs::new(
                agents.limit(),
                metrics.counter(&RUNS_FORGOTTEN, &[]),
            )),
            agents,
            settings,
            scripts,
            fanout,
            spans,
            meter: Meter::new(metrics),
            stopping,
            open: TaskTracker::new(),
        })
    }

    /// The gRPC service, taking messages of up to `max_message` bytes.
    pub fn service(self: &Arc<Self>, max_message: usize) -> FlowIntakeServer<impl FlowIntake> {
        FlowIntakeServer::new(Service(Arc::clone(self))).max_decoding_message_size(max_message)
    }

    /// Wait until the last stream has ended, after `stopping`.
    pub async fn ended(&self) {
        self.open.close();
        self.open.wait().await;
    }

    /// The Points of `batch`, which the agent on `host` sent; events that are not right
    /// are counted and left out, spans go their own way, and scripts have edited the others.
    fn convert(&self, batch: FlowBatch, host: &Text) -> PointBatch {
        let mut points = Vec::with_capacity(batch.events.len());
        let mut spans = Vec::new();
        for event in batch.events {
            if let Some(Data::HttpSpan(_)) = event.data {
                spans.push(event);
                continue;
            }
            match event::point(event, host) {
                Ok(point) => points.push(point),
                Err(malformed) => self.meter.malformed(malformed),
            }
        }
        let refuse = |malformed| self.meter.malformed(malformed);
        self.spans.take(spans, host, refuse);
        self.scripts.points(points).into()
    }
}

struct Service(Arc<Intake>);

type Answers = Pin<Box<dyn Stream<Item = Result<GatewayMessage, Status>> + Send>>;

#[tonic::async_trait]
impl FlowIntake for Service {
    type StreamStream = Answers;

    async fn stream(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Answers>, Status> {
        let peer = request.remote_addr();
        let session = Session::new(Arc::clone(&self.0), request.into_inner(), peer);
        // Driven by whoever reads the answers: an agent that does not take its acks is
        // not read from either, and no queue stands in between.
        let answers = stream::unfold(session, async |mut session| {
            Some((session.next().await?, session))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}
