//! One connection to the gateway, from Hello to its end.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::{
        mpsc::{self, Sender},
        watch,
    },
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use weir_proto::flow::v1::{
    AgentMessage, GatewayMessage, Hello, SettingsAnswer, agent_message,
    flow_intake_client::FlowIntakeClient, gateway_message,
};

use super::{Asked, Gateway, Queue, another};
use crate::{host::Identity, status::Status};

/// Batches on their way without an acknowledgement.
const WINDOW: u64 = 8;
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the status is sent.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// How long a gateway that is left for another one has to acknowledge what it was sent: what it does not, the other
/// gets as well.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Why a connection ended before its work was done.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("cannot connect")]
    Connect(#[source] tonic::transport::Error),
    #[error("the gateway refused the stream")]
    Stream(#[source] tonic::Status),
    #[error("the gateway did not answer Hello within {} s", WELCOME_TIMEOUT.as_secs())]
    NoWelcome,
    #[error("the gateway sent something else than Welcome first")]
    Protocol,
    #[error("the gateway ended the stream")]
    Ended,
}

/// How a connection may end well.
pub(super) enum End {
    /// The queue is closed and empty.
    Drained,
    /// There is another gateway to connect to.
    Moved,
}

/// An open stream whose Hello was answered.
pub(super) struct Session {
    queue: Arc<Queue>,
    status: Arc<Status>,
    outbound: Sender<AgentMessage>,
    inbound: Streaming<GatewayMessage>,
    acked: u64,
    asked: Asked,
    /// The latest settings that came.
    settings: Option<u64>,
    /// Whether it is known if the gateway has settings for this agent.
    settled: bool,
}

fn message(message: agent_message::Message) -> AgentMessage {
    AgentMessage {
        message: Some(message),
    }
}

impl Session {
    pub(super) async fn open(
        gateway: &Gateway,
        identity: &Identity,
        queue: Arc<Queue>,
        status: Arc<Status>,
        asked: Asked,
    ) -> Result<Self, SessionError> {
        let connected = gateway.endpoint.connect().await;
        let channel = connected.map_err(SessionError::Connect)?;
        let (outbound, messages) = mpsc::channel(1);
        let hello = message(agent_message::Message::Hello(Hello {
            agent_id: identity.agent_id.clone(),
            epoch: identity.epoch,
            host: identity.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            labels: gateway.labels.iter().cloned().collect(),
        }));
        // The channel is new and empty, so there is room.
        outbound
            .try_send(hello)
            .map_err(|_full| SessionError::Protocol)?;
        let mut client = FlowIntakeClient::new(channel);
        let opened = client.stream(ReceiverStream::new(messages));
        let first = async {
            let mut inbound = opened.await.map_err(SessionError::Stream)?.into_inner();
            let first = inbound.message().await.map_err(SessionError::Stream)?;
            Ok((inbound, first.ok_or(SessionError::Ended)?))
        };
        let (inbound, first) = timeout(WELCOME_TIMEOUT, first)
            .await
            .map_err(|_elapsed| SessionError::NoWelcome)??;
        let Some(gateway_message::Message::Welcome(welcome)) = first.message else {
            return Err(SessionError::Protocol);
        };
        queue.ack(welcome.last_sequence);
        Ok(Self {
            queue,
            status,
            outbound,
            inbound,
            acked: welcome.last_sequence,
            asked,
            settings: None,
            settled: false,
        })
    }

    pub(super) async fn run(
        mut self,
        gateway: &mut watch::Receiver<Gateway>,
    ) -> Result<End, SessionError> {
        let mut sent = 0;
        let mut status_due = tokio::time::interval(STATUS_EVERY);
        let mut leave_at: Option<Instant> = None;
        loop {
            if self.queue.is_drained() {
                self.send_status().await?;
                return Ok(End::Drained);
            }
            match leave_at {
                Some(at) if self.acked >= sent || Instant::now() >= at => return Ok(End::Moved),
                None if sent < self.acked + WINDOW => {
                    if let Some(batch) = self.queue.send_after(sent) {
                        sent = batch.sequence;
                        let batch = agent_message::Message::Batch(Arc::unwrap_or_clone(batch));
                        self.send(batch).await?;
                        continue;
                    }
                }
                _ => {}
            }
            tokio::select! {
                received = self.inbound.message() => self.received(received)?,
                () = self.queue.changed() => {}
                _ = status_due.tick() => self.send_status().await?,
                answer = answer(&mut self.asked, self.settings) => {
                    self.send(agent_message::Message::SettingsAnswer(answer)).await?;
                }
                () = another(gateway), if leave_at.is_none() => {
                    leave_at = Some(Instant::now() + LEAVE_WITHIN);
                }
                () = until(leave_at) => {}
            }
        }
    }

    fn received(
        &mut self,
        received: Result<Option<GatewayMessage>, tonic::Status>,
    ) -> Result<(), SessionError> {
        let message = received
            .map_err(SessionError::Stream)?
            .ok_or(SessionError::Ended)?;
        match message.message {
            Some(gateway_message::Message::Ack(ack)) => {
                // A gateway that has settings sends them before anything else.
                if !self.settled {
                    self.settled = true;
                    self.asked.tell_none();
                }
                self.acked = self.acked.max(ack.sequence);
                self.queue.ack(ack.sequence);
            }
            Some(gateway_message::Message::Settings(settings)) => {
                self.settled = true;
                self.settings = Some(settings.revision);
                self.asked.tell(settings);
            }
            Some(gateway_message::Message::Welcome(_)) | None => {}
        }
        Ok(())
    }

    async fn send_status(&self) -> Result<(), SessionError> {
        self.status.set("uplink", self.queue.counters());
        self.send(agent_message::Message::Status(self.status.message()))
            .await
    }

    /// Waits for room: the gateway takes messages as fast as it can handle them.
    async fn send(&self, what: agent_message::Message) -> Result<(), SessionError> {
        self.outbound
            .send(message(what))
            .await
            .map_err(|_closed| SessionError::Ended)
    }
}

/// The next answer to the settings of `revision`; none if there are no such settings.
async fn answer(asked: &mut Asked, revision: Option<u64>) -> SettingsAnswer {
    match revision {
        Some(revision) => asked.answer(revision).await,
        None => pending().await,
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => pending().await,
    }
}
