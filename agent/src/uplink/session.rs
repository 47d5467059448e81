//! One connection to the gateway, from Hello to its end.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc::{self, Sender},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Endpoint};
use weir_proto::flow::v1::{
    AgentMessage, GatewayMessage, Hello, agent_message, flow_intake_client::FlowIntakeClient,
    gateway_message,
};

use super::Queue;
use crate::{host::Identity, status::Status};

/// Batches on their way without an acknowledgement.
const WINDOW: u64 = 8;
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the status is sent.
const STATUS_EVERY: Duration = Duration::from_secs(2);

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
}

/// An open stream whose Hello was answered.
pub(super) struct Session {
    queue: Arc<Queue>,
    status: Arc<Status>,
    outbound: Sender<AgentMessage>,
    inbound: Streaming<GatewayMessage>,
    acked: u64,
}

fn message(message: agent_message::Message) -> AgentMessage {
    AgentMessage {
        message: Some(message),
    }
}

impl Session {
    pub(super) async fn open(
        endpoint: &Endpoint,
        identity: &Identity,
        queue: Arc<Queue>,
        status: Arc<Status>,
    ) -> Result<Self, SessionError> {
        let channel = endpoint.connect().await.map_err(SessionError::Connect)?;
        let (outbound, messages) = mpsc::channel(1);
        let hello = message(agent_message::Message::Hello(Hello {
            agent_id: identity.agent_id.clone(),
            epoch: identity.epoch,
            host: identity.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Hello::default()
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
        })
    }

    pub(super) async fn run(mut self) -> Result<End, SessionError> {
        let mut sent = 0;
        let mut status_due = tokio::time::interval(STATUS_EVERY);
        loop {
            if self.queue.is_drained() {
                self.send_status().await?;
                return Ok(End::Drained);
            }
            if sent < self.acked + WINDOW
                && let Some(batch) = self.queue.send_after(sent)
            {
                sent = batch.sequence;
                let batch = agent_message::Message::Batch(Arc::unwrap_or_clone(batch));
                self.send(batch).await?;
                continue;
            }
            tokio::select! {
                received = self.inbound.message() => self.received(received)?,
                () = self.queue.changed() => {}
                _ = status_due.tick() => self.send_status().await?,
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
        if let Some(gateway_message::Message::Ack(ack)) = message.message {
            self.acked = self.acked.max(ack.sequence);
            self.queue.ack(ack.sequence);
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
