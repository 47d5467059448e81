//! One stream of one agent, message by message.

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use prost::Message as _;
use tokio::time::timeout;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};
use weir_point::Text;
use weir_proto::flow::v1::{
    Ack, AgentMessage, FlowBatch, GatewayMessage, Hello, Settings, SettingsAnswer, Welcome,
    agent_message, gateway_message,
};

use super::{
    Intake,
    refusal::Refusal,
    runs::{OpenRun, RunId, Turn},
};
use crate::{agent_settings::Offer, agents::Presence};

/// An agent says Hello at once; whoever does not is not one.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Longest agent id and host name, in bytes. A DNS name has at most 253.
const LONGEST_NAME: usize = 256;
/// Most labels, each of names and values no longer than that.
const MOST_LABELS: usize = 64;
/// Of what an agent says is wrong with its settings, so many lines go to the log, cut to so many characters.
const MOST_MISTAKES: usize = 20;
const LONGEST_MISTAKE: usize = 400;

pub(super) struct Session {
    intake: Arc<Intake>,
    inbound: Streaming<AgentMessage>,
    peer: Option<SocketAddr>,
    agent: Option<Agent>,
    ended: bool,
    _open: TaskTrackerToken,
}

/// Who is at the other end, once it said Hello.
struct Agent {
    id: String,
    host: Text,
    run: OpenRun,
    presence: Presence,
    settings: Offer,
    intake: Arc<Intake>,
}

/// What there is to do next.
enum Read {
    Message(agent_message::Message),
    /// The settings for this agent may have changed.
    OtherSettings,
    End,
}

async fn changed(settings: Option<&mut Offer>) {
    match settings {
        Some(settings) => settings.changed().await,
        None => pending().await,
    }
}

impl Session {
    pub(super) fn new(
        intake: Arc<Intake>,
        inbound: Streaming<AgentMessage>,
        peer: Option<SocketAddr>,
    ) -> Self {
        let open = intake.open.token();
        Self {
            intake,
            inbound,
            peer,
            agent: None,
            ended: false,
            _open: open,
        }
    }

    /// The next answer; `None` ends the stream.
    pub(super) async fn next(&mut self) -> Option<Result<GatewayMessage, Status>> {
        if self.ended {
            return None;
        }
        match self.answer().await {
            Ok(Some(message)) => Some(Ok(GatewayMessage {
                message: Some(message),
            })),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(refusal) => {
                self.ended = true;
                self.intake.meter.refused(refusal);
                let status = refusal.status();
                let agent = self.agent.as_ref().map(|agent| agent.id.as_str());
                warn!(
                    peer = self.peer.map(tracing::field::display),
                    agent,
                    cause = refusal.label(),
                    "agent stream refused: {}",
                    status.message()
                );
                Some(Err(status))
            }
        }
    }

    /// Read until something is to be answered; `None` when the stream is over.
    async fn answer(&mut self) -> Result<Option<gateway_message::Message>, Refusal> {
        loop {
            // Before any ack, so that an agent knows from its first one that there are none.
            if let Some(settings) = self.agent.as_mut().and_then(Agent::settings) {
                return Ok(Some(gateway_message::Message::Settings(settings)));
            }
            let message = match self.read().await? {
                Read::Message(message) => message,
                Read::OtherSettings => continue,
                Read::End => return Ok(None),
            };
            let answer = match message {
                agent_message::Message::Hello(hello) => {
                    Some(gateway_message::Message::Welcome(self.hello(hello)?))
                }
                agent_message::Message::Batch(batch) => {
                    let agent = self.agent.as_ref().ok_or(Refusal::NoHello)?;
                    Some(gateway_message::Message::Ack(agent.batch(batch)?))
                }
                agent_message::Message::Status(status) => {
                    let agent = self.agent.as_ref().ok_or(Refusal::NoHello)?;
                    let refused = agent.presence.report(status);
                    self.intake.meter.status_refused.increment(refused as u64);
                    None
                }
                agent_message::Message::SettingsAnswer(answer) => {
                    let agent = self.agent.as_ref().ok_or(Refusal::NoHello)?;
                    agent.settings_answered(&answer);
                    None
                }
            };
            if answer.is_some() {
                return Ok(answer);
            }
        }
    }

    /// The next message that this version knows. What was read before a stop is still answered, nothing is read
    /// after it.
    async fn read(&mut self) -> Result<Read, Refusal> {
        loop {
            let (patience, settings) = match &mut self.agent {
                Some(agent) => (Duration::MAX, Some(&mut agent.settings)),
                None => (HELLO_WITHIN, None),
            };
            let read = tokio::select! {
                biased;
                () = self.intake.stopping.cancelled() => return Ok(Read::End),
                () = changed(settings) => return Ok(Read::OtherSettings),
                read = timeout(patience, self.inbound.message()) => read,
            };
            match read {
                Ok(Ok(Some(AgentMessage {
                    message: Some(message),
                }))) => return Ok(Read::Message(message)),
                Ok(Ok(Some(AgentMessage { message: None }))) => {
                    debug!("a message of a kind this version does not know is passed over");
                }
                Ok(Ok(None)) => return Ok(Read::End),
                Ok(Err(status)) => {
                    return match Refusal::of_reading(&status) {
                        Some(refusal) => Err(refusal),
                        None => {
                            debug!(status = status.message(), "agent connection lost");
                            Ok(Read::End)
                        }
                    };
                }
                Err(_elapsed) => return Err(Refusal::LateHello),
            }
        }
    }

    fn hello(&mut self, hello: Hello) -> Result<Welcome, Refusal> {
        if self.agent.is_some() {
            return Err(Refusal::SecondHello);
        }
        let agent = Agent::new(&self.intake, hello, self.peer)?;
        let last_sequence = agent.run.last_sequence();
        self.agent = Some(agent);
        Ok(Welcome { last_sequence })
    }
}

impl Agent {
    fn new(intake: &Arc<Intake>, hello: Hello, peer: Option<SocketAddr>) -> Result<Self, Refusal> {
        let fits = |name: &str| (1..=LONGEST_NAME).contains(&name.len());
        if !fits(&hello.agent_id) {
            return Err(Refusal::AgentId);
        }
        if !fits(&hello.host) {
            return Err(Refusal::Host);
        }
        let mut labels = hello.labels.iter();
        let fit = |(name, value): (&String, &String)| fits(name) && value.len() <= LONGEST_NAME;
        if hello.labels.len() > MOST_LABELS || !labels.all(fit) {
            return Err(Refusal::Labels);
        }
        let settings = intake.settings.offer(&hello.host, hello.labels);
        let host = Text::from(hello.host);
        let id = RunId {
            agent: hello.agent_id.as_str().into(),
            epoch: hello.epoch,
        };
        let run = intake
            .runs
            .open(id)
            .map_err(|_no_room| Refusal::TooManyAgents)?;
        let presence = intake
            .agents
            .arrive(host.clone())
            .map_err(|_no_room| Refusal::TooManyAgents)?;
        intake.meter.agents.increment(1);
        info!(
            agent = hello.agent_id,
            host = host.as_str(),
            epoch = hello.epoch,
            version = hello.version,
            last_sequence = run.last_sequence(),
            peer = peer.map(tracing::field::display),
            "agent connected"
        );
        Ok(Self {
            id: hello.agent_id,
            host,
            run,
            presence,
            settings,
            intake: Arc::clone(intake),
        })
    }

    /// The settings that it is to be sent now.
    fn settings(&mut self) -> Option<Settings> {
        let settings = self.settings.due()?;
        self.presence.settings_sent(settings.revision);
        info!(
            agent = self.id,
            revision = settings.revision,
            "agent is sent settings"
        );
        Some(settings)
    }

    fn settings_answered(&self, answer: &SettingsAnswer) {
        let SettingsAnswer { revision, mistakes } = answer;
        self.presence.settings_answered(*revision, mistakes.len());
        if mistakes.is_empty() {
            info!(agent = self.id, revision, "agent runs by its settings");
            return;
        }
        let line = |mistake: &String| mistake.chars().take(LONGEST_MISTAKE).collect();
        let lines: Vec<String> = mistakes.iter().take(MOST_MISTAKES).map(line).collect();
        let lines = lines.join("\n  ");
        warn!(
            agent = self.id,
            revision, "agent does not take its settings:\n  {lines}"
        );
    }

    /// Process the batch unless it was before; either way it is acked.
    fn batch(&self, batch: FlowBatch) -> Result<Ack, Refusal> {
        let sequence = batch.sequence;
        if sequence == 0 {
            return Err(Refusal::Sequence);
        }
        let meter = &self.intake.meter;
        let turn = self.run.process(sequence, || {
            meter.bytes.increment(batch.encoded_len() as u64);
            meter.rows.increment(batch.events.len() as u64);
            let points = self.intake.convert(batch, &self.host);
            self.intake.fanout.hand_on(points);
        });
        meter.batch(&turn);
        if let Turn::Processed { missing: 1.. } = turn {
            warn!(
                agent = self.id,
                sequence, "batches before this one never came"
            );
        }
        Ok(Ack {
            sequence: self.run.last_sequence(),
        })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.intake.meter.agents.decrement(1);
        info!(agent = self.id, host = self.host.as_str(), "agent gone");
    }
}
