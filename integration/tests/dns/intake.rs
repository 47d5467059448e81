//! A gateway that keeps what it is sent, as it was sent.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use anyhow::Context as _;
use tokio_stream::{Stream, StreamExt as _, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};
use weir_proto::flow::v1::{
    Ack, AgentMessage, AgentStatus, FlowEvent, GatewayMessage, Welcome,
    agent_message::Message as FromAgent,
    flow_intake_server::{FlowIntake, FlowIntakeServer},
    gateway_message::Message as ToAgent,
};

/// What was sent.
#[derive(Debug, Default)]
struct Sent {
    events: Vec<FlowEvent>,
    status: AgentStatus,
}

/// The gateway.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    /// Where agents report.
    pub(crate) address: SocketAddr,
    sent: Arc<Mutex<Sent>>,
}

impl Intake {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let sent = Arc::<Mutex<Sent>>::default();
        let service = FlowIntakeServer::new(Service(Arc::clone(&sent)));
        let (tell, told) = mpsc::channel();
        thread::spawn(move || -> anyhow::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
                tell.send(listener.local_addr()?)?;
                let incoming = TcpListenerStream::new(listener);
                let server = Server::builder().add_service(service);
                anyhow::Ok(server.serve_with_incoming(incoming).await?)
            })
        });
        let address = told.recv().context("the intake does not listen")?;
        Ok(Self { address, sent })
    }

    fn lock(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows so far.
    pub(crate) fn events(&self) -> Vec<FlowEvent> {
        self.lock().events.clone()
    }

    /// A counter of the agent, as it said last.
    pub(crate) fn counter(&self, name: &str, cause: &str) -> u64 {
        let sent = self.lock();
        let found = sent
            .status
            .counters
            .iter()
            .find(|counter| counter.name == name && counter.cause == cause);
        found.map_or(0, |counter| counter.value)
    }
}

struct Service(Arc<Mutex<Sent>>);

#[tonic::async_trait]
impl FlowIntake for Service {
    type StreamStream = Pin<Box<dyn Stream<Item = Result<GatewayMessage, Status>> + Send>>;

    async fn stream(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let sent = Arc::clone(&self.0);
        let answers = request.into_inner().filter_map(move |message| {
            let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = match message.ok()?.message? {
                FromAgent::Hello(_) => ToAgent::Welcome(Welcome { last_sequence: 0 }),
                FromAgent::Batch(batch) => {
                    sent.events.extend(batch.events);
                    let sequence = batch.sequence;
                    ToAgent::Ack(Ack { sequence })
                }
                FromAgent::Status(status) => {
                    sent.status = status;
                    return None;
                }
                FromAgent::SettingsAnswer(_) => return None,
            };
            let message = Some(answer);
            Some(Ok(GatewayMessage { message }))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}
