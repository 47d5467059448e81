//! From Points back to a request.

mod added;
mod kept;

use bytes::Bytes;

use self::{added::Added, kept::Kept};
use super::{
    OtlpBatch, PointRef, Resource, Scope, Series, Signal, Wire,
    decode::Parts,
    group::Place,
    metrics::{GAUGE, SUM},
    points::item_shape,
    rebuild::{self, View},
    shape::{self, ATTRIBUTES, DURATION, METRIC, Shape, TYPE},
};
use crate::{Point, Table, Text, Value};

/// A Point that OTLP has no form for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` of a Point {problem}")]
pub struct EncodeError {
    pub(super) field: String,
    pub(super) problem: &'static str,
}

impl EncodeError {
    pub(super) fn new(field: &str, problem: &'static str) -> Self {
        Self {
            field: field.to_owned(),
            problem,
        }
    }

    /// Which field it is about; `attributes`, tags and the name of the Point count as such.
    pub fn field(&self) -> &str {
        &self.field
    }
}

/// Puts Points together to one request.
///
/// The request that the first of them came with is written anew in its order: what nobody has edited is copied,
/// with everything around it, and what was edited is where it was. Behind it come Points that were added, moved to
/// another resource, scope or metric, or have come with another request; those with the same are put together.
#[derive(Debug)]
pub struct Encoder {
    signal: Signal,
    kept: Option<Kept>,
    added: Added,
    items: usize,
    changed: bool,
}

impl Encoder {
    /// For Points of one signal.
    pub const fn new(signal: Signal) -> Self {
        Self {
            signal,
            kept: None,
            added: Added::new(),
            items: 0,
            changed: false,
        }
    }

    /// The signal of the Points that it takes.
    pub const fn signal(&self) -> Signal {
        self.signal
    }

    /// Adds a Point as it came. Cheaper than [`Self::push`] where nobody has edited it.
    pub fn keep(&mut self, point: &PointRef<'_>) {
        if point.batch.signal() != self.signal {
            return;
        }
        self.items += 1;
        let origin = Origin {
            batch: point.batch,
            place: point.place,
            resource: &point.resource,
            scope: &point.scope,
            series: point.series.as_deref(),
        };
        self.put(&origin, Item::Same);
    }

    /// Adds a Point.
    ///
    /// # Errors
    /// If a field is not what OTLP has for it, or the Point is of another signal. Nothing of it was written then.
    pub fn push(&mut self, point: &Point) -> Result<(), EncodeError> {
        if point.category != self.signal.category() {
            return Err(EncodeError::new("category", "is another one"));
        }
        match &point.wire {
            Some(wire) if wire.batch.signal() == self.signal => self.push_wired(point, wire)?,
            _ => self.push_new(point)?,
        }
        self.items += 1;
        Ok(())
    }

    fn push_wired(&mut self, point: &Point, wire: &Wire) -> Result<(), EncodeError> {
        let origin = Origin {
            batch: &wire.batch,
            place: wire.place,
            resource: &wire.resource,
            scope: &wire.scope,
            series: wire.series.as_deref(),
        };
        let item_differs = wire.item_differs(point);
        let header = match &wire.series {
            Some(series) if !wire.has_fields_of(point) || wire.name != point.name => {
                Header::changed(series, point)?
            }
            _ => None,
        };
        let kind = header.as_ref().map_or(origin.kind(), |header| header.kind);
        let message = if item_differs {
            let same_kind = shapes_agree(origin.kind(), kind);
            let base = same_kind.then_some(wire);
            Some(item(self.signal, kind, base, point)?)
        } else {
            None
        };
        let item = message.as_deref().map_or(Item::Same, Item::Changed);
        if header.is_none() && !wire.is_elsewhere(point) {
            self.put(&origin, item);
            return Ok(());
        }
        self.changed = true;
        let message = message.as_deref().unwrap_or(wire.bytes());
        let header = header.or_else(|| wire.series.as_deref().map(Header::of));
        let (resource, scope) = (point.resource.as_deref(), point.scope.as_deref());
        self.added.put(resource, scope, header.as_ref(), message);
        Ok(())
    }

    fn push_new(&mut self, point: &Point) -> Result<(), EncodeError> {
        let header = match self.signal {
            Signal::Metrics => Some(Header::new(point)?),
            Signal::Traces | Signal::Logs => None,
        };
        let kind = header.as_ref().map_or(0, |header| header.kind);
        let message = item(self.signal, kind, None, point)?;
        self.changed = true;
        let (resource, scope) = (point.resource.as_deref(), point.scope.as_deref());
        self.added.put(resource, scope, header.as_ref(), &message);
        Ok(())
    }

    /// Where it was, if it can be there.
    fn put(&mut self, origin: &Origin<'_>, item: Item<'_>) {
        let kept = self
            .kept
            .get_or_insert_with(|| Kept::new(origin.batch.clone()));
        if kept.has_room_for(origin) {
            self.changed |= matches!(item, Item::Changed(_));
            kept.put(origin, item);
            return;
        }
        self.changed = true;
        let message = match item {
            Item::Same => &origin.batch.bytes()[origin.place.start..origin.place.to],
            Item::Changed(message) => message,
        };
        let header = origin.series.map(Header::of);
        self.added.put(
            Some(origin.resource),
            Some(origin.scope),
            header.as_ref(),
            message,
        );
    }

    /// The request with all Points that were added. If it is the one that they came with, it shares its bytes.
    pub fn finish(self) -> OtlpBatch {
        let Some(kept) = self.kept else {
            return self.added.finish(self.signal, self.items, Vec::new());
        };
        if !self.changed && self.items == kept.batch().items() {
            return kept.batch().clone();
        }
        self.added.finish(self.signal, self.items, kept.finish())
    }
}

impl OtlpBatch {
    /// The request with these Points: see [`Encoder`].
    ///
    /// # Errors
    /// If one of them cannot be encoded.
    pub fn encode<'p>(
        signal: Signal,
        points: impl IntoIterator<Item = &'p Point>,
    ) -> Result<Self, EncodeError> {
        let mut encoder = Encoder::new(signal);
        for point in points {
            encoder.push(point)?;
        }
        Ok(encoder.finish())
    }
}

/// Where an item has come from.
struct Origin<'a> {
    batch: &'a OtlpBatch,
    place: Place,
    resource: &'a Resource,
    scope: &'a Scope,
    series: Option<&'a Series>,
}

impl Origin<'_> {
    fn kind(&self) -> u32 {
        self.series.map_or(0, |series| series.metric.run.kind)
    }
}

/// What becomes of an item.
#[derive(Clone, Copy)]
enum Item<'a> {
    Same,
    Changed(&'a [u8]),
}

/// A metric without its place in a request.
struct Header {
    kind: u32,
    metric: Bytes,
    data: Bytes,
}

impl Header {
    fn of(series: &Series) -> Self {
        Self {
            kind: series.metric.run.kind,
            metric: series.metric.group.own.clone(),
            data: series.metric.data.clone(),
        }
    }

    fn new(point: &Point) -> Result<Self, EncodeError> {
        let kind = kind(point)?;
        Ok(Self {
            kind,
            metric: part(&METRIC, &[], point)?.into(),
            data: part(shape::data(kind), &[], point)?.into(),
        })
    }

    /// The metric of `point`, if it is another than the one that it came with.
    fn changed(series: &Series, point: &Point) -> Result<Option<Self>, EncodeError> {
        let old = &series.metric;
        let kind = kind(point)?;
        let base = if kind == old.run.kind {
            &old.data[..]
        } else {
            &[]
        };
        let header = Self {
            kind,
            metric: part(&METRIC, &old.group.own, point)?.into(),
            data: part(shape::data(kind), base, point)?.into(),
        };
        let same =
            kind == old.run.kind && header.metric == old.group.own && header.data == old.data;
        Ok((!same).then_some(header))
    }
}

fn kind(point: &Point) -> Result<u32, EncodeError> {
    let word = point.fields.get(TYPE).and_then(Value::as_text);
    let kind = word.ok_or(EncodeError::new(TYPE, "is missing"))?;
    shape::kind_of(kind).ok_or(EncodeError::new(TYPE, "is not a kind of metric"))
}

/// Gauges and sums have the same data points.
const fn shapes_agree(one: u32, other: u32) -> bool {
    one == other || matches!((one, other), (GAUGE, SUM) | (SUM, GAUGE))
}

/// A message of which the Point holds the fields beside others.
fn part(shape: &'static Shape, base: &[u8], point: &Point) -> Result<Vec<u8>, EncodeError> {
    let old = Parts::of(shape, base);
    let none = Table::default();
    let mut out = Vec::with_capacity(base.len());
    let view = |name, fields| View {
        name,
        time: 0,
        start: 0,
        tags: None,
        attributes: &none,
        fields,
    };
    let (old, new) = (
        view(&old.name, &old.fields),
        view(&point.name, &point.fields),
    );
    rebuild::message(shape, base, old, new, &mut out)?;
    Ok(out)
}

/// The span, data point or log record of `point`, made from the one that it came from.
fn item(
    signal: Signal,
    kind: u32,
    wire: Option<&Wire>,
    point: &Point,
) -> Result<Vec<u8>, EncodeError> {
    let shape = item_shape(signal, kind);
    let same_fields = wire.is_some_and(|wire| wire.has_fields_of(point));
    if !same_fields && let Some(unknown) = unknown_field(signal, kind, point) {
        return Err(EncodeError::new(unknown, "is not known"));
    }
    let none = Table::default();
    let attributes = match point.fields.get(ATTRIBUTES) {
        None => &none,
        Some(Value::Map(map)) => map,
        Some(_) => return Err(EncodeError::new(ATTRIBUTES, "is not a map")),
    };
    let new = View {
        name: &point.name,
        time: point.time,
        start: point.start,
        tags: Some(&point.tags),
        attributes,
        fields: &point.fields,
    };
    let base = wire.map_or(&[][..], Wire::bytes);
    // What is known to be the same need not be read again.
    let parts = if same_fields {
        Parts::without_fields(shape, base)
    } else {
        Parts::of(shape, base)
    };
    let old = View {
        name: &parts.name,
        time: parts.time,
        start: parts.start,
        tags: Some(&parts.tags),
        attributes: if same_fields {
            attributes
        } else {
            &parts.attributes
        },
        fields: if same_fields {
            &point.fields
        } else {
            &parts.fields
        },
    };
    let mut out = Vec::with_capacity(base.len() + 64);
    rebuild::message(shape, base, old, new, &mut out)?;
    Ok(out)
}

/// A field that OTLP has no place for.
fn unknown_field(signal: Signal, kind: u32, point: &Point) -> Option<&Text> {
    let shape = item_shape(signal, kind);
    let is_known = |name: &Text| {
        let of_metric = signal == Signal::Metrics
            && (name == TYPE || METRIC.has(name) || shape::data(kind).has(name));
        shape.has(name) || of_metric || (signal == Signal::Traces && name == DURATION)
    };
    let mut names = point.fields.iter().map(|(name, _)| name);
    names.find(|name| !is_known(name))
}
