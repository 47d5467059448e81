//! Why the gateway ends a stream: what the agent is told, and under which name it is
//! counted.

use std::error::Error as _;

use tonic::{Code, Status};

/// What an agent did that ends its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    NoHello,
    LateHello,
    SecondHello,
    AgentId,
    Host,
    Labels,
    Sequence,
    TooLarge,
    Undecodable,
    TooManyAgents,
}

impl Refusal {
    pub(super) const ALL: [Self; 10] = [
        Self::NoHello,
        Self::LateHello,
        Self::SecondHello,
        Self::AgentId,
        Self::Host,
        Self::Labels,
        Self::Sequence,
        Self::TooLarge,
        Self::Undecodable,
        Self::TooManyAgents,
    ];

    /// The value of the label `cause`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::NoHello => "no_hello",
            Self::LateHello => "late_hello",
            Self::SecondHello => "second_hello",
            Self::AgentId => "agent_id",
            Self::Host => "host",
            Self::Labels => "labels",
            Self::Sequence => "sequence",
            Self::TooLarge => "too_large",
            Self::Undecodable => "undecodable",
            Self::TooManyAgents => "too_many_agents",
        }
    }

    /// What went wrong while reading, if it was what the agent sent and not the
    /// connection.
    pub(super) fn of_reading(status: &Status) -> Option<Self> {
        // A status with a source is a broken connection, whatever its code.
        if status.source().is_some() {
            return None;
        }
        match status.code() {
            Code::OutOfRange | Code::ResourceExhausted => Some(Self::TooLarge),
            Code::Internal | Code::InvalidArgument | Code::Unimplemented => Some(Self::Undecodable),
            _ => None,
        }
    }

    /// The end of the stream, as the agent sees it.
    pub(super) fn status(self) -> Status {
        match self {
            Self::NoHello => Status::invalid_argument("the first message must be Hello"),
            Self::LateHello => Status::deadline_exceeded("no Hello came"),
            Self::SecondHello => Status::invalid_argument("Hello came twice"),
            Self::AgentId => Status::invalid_argument("agent_id is empty or too long"),
            Self::Host => Status::invalid_argument("host is empty or too long"),
            Self::Labels => Status::invalid_argument("labels are too many or too long"),
            Self::Sequence => Status::invalid_argument("sequences start at 1"),
            Self::TooLarge => Status::invalid_argument("the message is too large"),
            Self::Undecodable => Status::invalid_argument("the message cannot be decoded"),
            Self::TooManyAgents => Status::resource_exhausted("too many agents are connected"),
        }
    }
}
