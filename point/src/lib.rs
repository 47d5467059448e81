//! Point, the one record of weir, and how many of them travel together.
//!
//! Everything the gateway holds is a [`Point`]: where it came from shows only in its
//! tags. This crate does no I/O and knows none of the other crates.

pub mod otlp;
mod table;
mod value;

use std::sync::Arc;

/// Text that is cheap to keep and to clone: static, or stored in place up to 23
/// bytes, or shared by reference. Make static ones with [`Text::new_static`].
pub use smol_str::{SmolStr as Text, ToSmolStr as ToText};

pub use self::{table::Table, value::Value};

/// What kind of signal a Point belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// Flows, DNS queries and HTTP requests seen on the network.
    Network,
    /// OpenTelemetry metrics.
    Metric,
    /// OpenTelemetry traces.
    Tracing,
    /// OpenTelemetry logs.
    Logging,
}

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The kind of signal.
    pub category: Category,
    /// The data set within the category, for example `netflow`.
    pub name: Text,
    /// What the record is about.
    pub tags: Table<Text>,
    /// What was measured.
    pub fields: Table<Value>,
    /// When it was measured: nanoseconds since the epoch; for a time span, its end.
    pub time: u64,
    /// Where the measured time span began: nanoseconds since the epoch, 0 where the
    /// record is about a moment or the beginning is not known.
    pub start: u64,
    /// Who was measured; shared by all Points of one request that have the same.
    pub resource: Option<Arc<otlp::Resource>>,
    /// What has measured; shared likewise.
    pub scope: Option<Arc<otlp::Scope>>,
    /// The bytes that the Point was read from, if it came over OTLP. Kept so that what nobody has edited goes
    /// out as it came in.
    pub wire: Option<Arc<otlp::Wire>>,
}

impl Point {
    /// A Point without tags, fields and times.
    pub fn new(category: Category, name: Text) -> Self {
        Self {
            category,
            name,
            tags: Table::default(),
            fields: Table::default(),
            time: 0,
            start: 0,
            resource: None,
            scope: None,
            wire: None,
        }
    }

    /// Whether it is not, or no longer, what its [`Self::wire`] says. Costs a few comparisons: tags and fields
    /// count as edited once anything was set, removed or borrowed for a change, even if they are the same again.
    pub fn is_edited(&self) -> bool {
        self.wire.as_ref().is_none_or(|wire| wire.differs(self))
    }
}

/// Points that travel together, shared by all outputs as one `Arc`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PointBatch {
    points: Vec<Point>,
}

impl PointBatch {
    /// The number of Points.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is no Point at all.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The Points in the order they were given.
    pub fn points(&self) -> &[Point] {
        &self.points
    }
}

impl From<Vec<Point>> for PointBatch {
    fn from(points: Vec<Point>) -> Self {
        Self { points }
    }
}
