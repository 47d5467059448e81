//! What is told about each request and each connection, for whoever counts.

use std::time::Duration;

use weir_point::otlp::Signal;

use crate::consumer::Taken;

/// Counts. Called on the thread that serves the connection, so it must be quick.
pub trait Meter: Send + Sync + 'static {
    /// A request has ended.
    fn exchange(&self, exchange: &Exchange);

    /// Something happened to a connection.
    fn connection(&self, transport: Transport, event: ConnectionEvent);

    /// The files of the certificate have changed.
    fn certificates(&self, transport: Transport, event: Certificates);
}

/// One request and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Exchange {
    /// How it came.
    pub transport: Transport,
    /// What it carried; `None` if its path is none of OTLP's.
    pub signal: Option<Signal>,
    /// What became of it.
    pub outcome: Outcome,
    /// What the client was told: the HTTP status, or for gRPC the gRPC status code (0 is success). A client that
    /// went away was told nothing; it counts as HTTP 499 or gRPC 1 (cancelled).
    pub status: u16,
    /// Size of the body as it came over the wire, compressed, in bytes; what was read of it.
    pub wire_bytes: u64,
    /// Size of the batch as protobuf, in bytes; 0 if there was none.
    pub batch_bytes: u64,
    /// Spans, data points or log records; 0 if it was refused before they were counted.
    pub items: usize,
    /// How many of them the consumer did not take, though it took the batch.
    pub rejected: usize,
    /// From the end of the headers to the answer.
    pub took: Duration,
}

/// One of the two listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP.
    Http,
}

impl Transport {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Grpc, Self::Http];

    /// As it stands in labels: `grpc`, `http`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The consumer has the batch.
    Accepted,
    /// The consumer has the batch without some items, and the client was told so.
    Partial,
    /// A browser asked what it may send, and was told.
    Preflight,
    /// It was refused.
    Refused(Cause),
}

impl Outcome {
    /// The consumer has what it took of the batch.
    pub(crate) const fn of(taken: &Taken) -> Self {
        match taken.rejected {
            0 => Self::Accepted,
            _ => Self::Partial,
        }
    }

    /// As it stands in labels: `accepted`, `partial`, `preflight`, or the cause.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Partial => "partial",
            Self::Preflight => "preflight",
            Self::Refused(cause) => cause.name(),
        }
    }
}

/// What became of certificate files that have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Certificates {
    /// New connections get the new ones.
    Reloaded,
    /// They cannot be used; new connections get those from before.
    Broken,
}

impl Certificates {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Reloaded, Self::Broken];

    /// As it stands in labels: `reloaded`, `broken`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reloaded => "reloaded",
            Self::Broken => "broken",
        }
    }
}

/// A table of causes and their names.
macro_rules! causes {
    ($($(#[$doc:meta])* $cause:ident $name:literal;)*) => {
        /// Why a request was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Cause { $($(#[$doc])* $cause,)* }

        impl Cause {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$cause),*];

            /// As it stands in labels.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$cause => $name),* }
            }
        }
    };
}

causes! {
    /// The path is none of OTLP's.
    UnknownPath "unknown_path";
    /// Not POST; or a preflight from an origin that is not allowed.
    Method "method";
    /// Neither protobuf nor JSON; or not gRPC on the listener for gRPC.
    ContentType "content_type";
    /// Compressed in a way that is not known.
    Compression "compression";
    /// Without the token.
    Token "token";
    /// Larger than `max_message`.
    TooLarge "too_large";
    /// Not what its headers say it is.
    Malformed "malformed";
    /// The body did not come in time.
    TooSlow "too_slow";
    /// The memory for requests under way was used up.
    Memory "memory";
    /// The consumer had no room.
    Full "full";
    /// The process is stopping.
    Stopping "stopping";
    /// The client went away before it was answered.
    ClientGone "client_gone";
}

/// What happened to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionEvent {
    /// It is being served.
    Opened,
    /// It was served and is gone.
    Closed,
    /// It was closed at once, because there are too many.
    TooMany,
    /// It never became one that can be served: the client sent nothing in time, or no TLS, or no valid certificate.
    HandshakeFailed,
    /// It broke the protocol, or its headers did not come in time. Follows `Opened`; `Closed` comes after it.
    Broken,
}

impl ConnectionEvent {
    /// As it stands in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::TooMany => "too_many",
            Self::HandshakeFailed => "handshake_failed",
            Self::Broken => "broken",
        }
    }
}
