//! An agent as far as the wire shows it.

use std::net::SocketAddr;

use futures_util::stream;
use tokio::{sync::mpsc, time::timeout};
use tonic::{Status, Streaming, transport::Channel};
use weir_proto::flow::v1::{
    AgentMessage, AgentStatus, FlowBatch, FlowEvent, GatewayMessage, Hello, agent_message,
    flow_intake_client::FlowIntakeClient, gateway_message,
};

use super::PATIENCE;

/// A connected agent that was welcomed.
pub(crate) struct Agent {
    /// What the gateway had before, as it said.
    pub(crate) welcomed: u64,
    outbound: mpsc::Sender<AgentMessage>,
    answers: Streaming<GatewayMessage>,
}

pub(crate) fn hello(agent_id: &str, epoch: u64, host: &str) -> Hello {
    Hello {
        agent_id: agent_id.to_owned(),
        epoch,
        host: host.to_owned(),
        version: "0.0.0-test".to_owned(),
        ..Hello::default()
    }
}

/// A stream without manners.
pub(crate) async fn raw_stream(
    gateway: SocketAddr,
) -> (mpsc::Sender<AgentMessage>, Streaming<GatewayMessage>) {
    let channel = Channel::from_shared(format!("http://{gateway}"))
        .expect("a URL")
        .connect()
        .await
        .expect("a gateway");
    let (outbound, messages) = mpsc::channel::<AgentMessage>(64);
    let messages = stream::unfold(messages, async |mut messages| {
        Some((messages.recv().await?, messages))
    });
    let answers = FlowIntakeClient::new(channel)
        .stream(messages)
        .await
        .expect("a stream")
        .into_inner();
    (outbound, answers)
}

impl Agent {
    pub(crate) async fn connect(gateway: SocketAddr, id: &str, epoch: u64) -> Self {
        Self::greet(gateway, hello(id, epoch, "node-1")).await
    }

    pub(crate) async fn greet(gateway: SocketAddr, hello: Hello) -> Self {
        let (outbound, answers) = raw_stream(gateway).await;
        let mut agent = Self {
            welcomed: 0,
            outbound,
            answers,
        };
        agent.say(agent_message::Message::Hello(hello)).await;
        match agent.answer().await {
            Ok(Some(gateway_message::Message::Welcome(welcome))) => {
                agent.welcomed = welcome.last_sequence;
            }
            other => panic!("no Welcome but {other:?}"),
        }
        agent
    }

    pub(crate) async fn say(&self, message: agent_message::Message) {
        let message = AgentMessage {
            message: Some(message),
        };
        self.outbound.send(message).await.expect("an open stream");
    }

    pub(crate) async fn status(&self, status: AgentStatus) {
        self.say(agent_message::Message::Status(status)).await;
    }

    pub(crate) async fn send(&self, sequence: u64, events: Vec<FlowEvent>) {
        self.say(agent_message::Message::Batch(FlowBatch {
            sequence,
            events,
        }))
        .await;
    }

    /// Send a batch and wait for its ack.
    pub(crate) async fn deliver(&mut self, sequence: u64, events: Vec<FlowEvent>) {
        self.send(sequence, events).await;
        assert_eq!(self.ack().await, sequence);
    }

    pub(crate) async fn ack(&mut self) -> u64 {
        match self.answer().await {
            Ok(Some(gateway_message::Message::Ack(ack))) => ack.sequence,
            other => panic!("no Ack but {other:?}"),
        }
    }

    /// What comes next; `None` at the end of the stream.
    pub(crate) async fn answer(&mut self) -> Result<Option<gateway_message::Message>, Status> {
        let answer = timeout(PATIENCE, self.answers.message())
            .await
            .expect("an answer in time")?;
        Ok(answer.and_then(|message| message.message))
    }
}
