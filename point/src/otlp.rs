//! Requests of the OpenTelemetry protocol as they came over the wire: checked and counted, not decoded.

mod attribute;
mod cursor;
mod decode;
mod encode;
mod fields;
mod group;
pub mod logs;
pub mod metrics;
mod points;
mod put;
mod rebuild;
mod schema;
mod series;
mod shape;
pub mod traces;
mod wire;

use bytes::Bytes;

pub use self::{
    attribute::{AnyValue, Array, Attribute, Attributes},
    encode::{EncodeError, Encoder},
    group::{EntityRef, Resource, ResourceRef, Scope, ScopeRef},
    points::{PointRef, Points, Wire},
    series::{DataPoint, Series},
    wire::WireError,
};

/// What an OTLP request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metric data points.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// As it stands in paths and labels: `traces`, `metrics`, `logs`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

/// The bytes of one `Export…ServiceRequest` that are known to be well-formed. Clones share them.
#[derive(Debug, Clone, PartialEq)]
pub struct OtlpBatch {
    signal: Signal,
    bytes: Bytes,
    items: usize,
}

impl OtlpBatch {
    /// Checks every message in `bytes`, to the last attribute, and counts the items. Allocates nothing.
    ///
    /// # Errors
    /// If `bytes` are not what a protobuf decoder with the OTLP schema would take; names the place.
    pub fn check(signal: Signal, bytes: Bytes) -> Result<Self, WireError> {
        let items = wire::check(schema::request(signal), &bytes)?;
        Ok(Self {
            signal,
            bytes,
            items,
        })
    }

    /// What it carries.
    pub const fn signal(&self) -> Signal {
        self.signal
    }

    /// Spans, metric data points or log records.
    pub const fn items(&self) -> usize {
        self.items
    }

    /// The request, encoded. Requests of one signal may be concatenated: the result is the request with the
    /// resources of both.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
