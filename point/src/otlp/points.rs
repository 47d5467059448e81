//! The items of a request, one Point each, read only as far as somebody asks.

use std::{num::NonZeroUsize, sync::Arc};

use super::{
    AnyValue, Attributes, DataPoint, OtlpBatch, Resource, Scope, Series, Signal,
    decode::Parts,
    fields::{Fields, Occurrences, Raw},
    group::{Group, Place},
    logs::LogRecord,
    metrics::{EXPONENTIAL, HISTOGRAM, Run},
    series::Metric,
    shape::{self, DURATION, LOG_RECORD, SPAN, Shape},
    traces::Span,
};
use crate::{Category, Point, Text, Value};

impl Signal {
    /// The category of its Points.
    pub const fn category(self) -> Category {
        match self {
            Self::Traces => Category::Tracing,
            Self::Metrics => Category::Metric,
            Self::Logs => Category::Logging,
        }
    }
}

impl OtlpBatch {
    /// One Point for every span, data point or log record, in the order of the request. A step costs what it
    /// takes to find the next one; nothing of it is decoded before it is asked for.
    pub fn points(&self) -> Points<'_> {
        Points {
            batch: self,
            request: Walk::new(
                self,
                Place::whole(self.bytes().len()),
                Run { kind: 1, from: 0 },
            ),
            resource: None,
            scope: None,
            metric: None,
            data: None,
        }
    }
}

/// Iterates over the items of a request. Remembers where it is in each of the messages around an item.
#[derive(Debug)]
pub struct Points<'a> {
    batch: &'a OtlpBatch,
    request: Walk<'a>,
    resource: Option<(Arc<Resource>, Walk<'a>)>,
    scope: Option<(Arc<Scope>, Walk<'a>)>,
    metric: Option<(Arc<Metric>, Walk<'a>)>,
    data: Option<(Arc<Series>, Walk<'a>)>,
}

/// Finds the messages inside one.
#[derive(Debug)]
struct Walk<'a> {
    fields: Fields<'a>,
    start: usize,
    /// Which fields they are.
    inner: Run,
}

impl<'a> Walk<'a> {
    fn new(batch: &'a OtlpBatch, place: Place, inner: Run) -> Self {
        Self {
            fields: Fields::of(&batch.bytes()[place.start..place.to]),
            start: place.start,
            inner,
        }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = (Place, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let field = self.fields.next_placed()?;
            if let Raw::Bytes(message) = field.raw
                && self.inner.holds(field.number, field.from)
            {
                let to = self.start + field.to;
                let place = Place {
                    from: self.start + field.from,
                    start: to - message.len(),
                    to,
                };
                return Some((place, message));
            }
        }
    }
}

/// The messages inside a resource's, a scope's and a metric's data.
const IN_GROUP: Run = Run { kind: 2, from: 0 };
const IN_DATA: Run = Run { kind: 1, from: 0 };

impl<'a> Points<'a> {
    fn point(&self, place: Place, message: &'a [u8]) -> Option<PointRef<'a>> {
        Some(PointRef {
            batch: self.batch,
            place,
            message,
            resource: Arc::clone(&self.resource.as_ref()?.0),
            scope: Arc::clone(&self.scope.as_ref()?.0),
            series: self.data.as_ref().map(|(series, _)| Arc::clone(series)),
        })
    }

    /// Goes one message deeper, or on to the next one; `false` at the end of the request.
    fn advance(&mut self) -> bool {
        let (batch, request) = (self.batch, self.batch.bytes());
        if let Some((metric, walk)) = &mut self.metric {
            match walk.next() {
                Some((place, _)) => {
                    let series = Series {
                        metric: Arc::clone(metric),
                        data: Group::at(place, request, |number, _| number == 1),
                    };
                    self.data = Some((Arc::new(series), Walk::new(batch, place, IN_DATA)));
                }
                None => self.metric = None,
            }
        } else if let Some((_, walk)) = &mut self.scope {
            match walk.next() {
                Some((place, _)) => {
                    let metric = Arc::new(Metric::at(place, request));
                    let walk = Walk::new(batch, place, metric.run);
                    self.metric = Some((metric, walk));
                }
                None => self.scope = None,
            }
        } else if let Some((_, walk)) = &mut self.resource {
            match walk.next() {
                Some((place, _)) => {
                    let group = Group::at(place, request, |number, _| number == 2);
                    let walk = Walk::new(batch, place, IN_GROUP);
                    self.scope = Some((Arc::new(Scope { group }), walk));
                }
                None => self.resource = None,
            }
        } else {
            let Some((place, _)) = self.request.next() else {
                return false;
            };
            let group = Group::at(place, request, |number, _| number == 2);
            let walk = Walk::new(batch, place, IN_GROUP);
            self.resource = Some((Arc::new(Resource { group }), walk));
        }
        true
    }
}

impl<'a> Iterator for Points<'a> {
    type Item = PointRef<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((_, walk)) = &mut self.data {
                match walk.next() {
                    Some((place, message)) => return self.point(place, message),
                    None => self.data = None,
                }
            } else if self.batch.signal() != Signal::Metrics
                && let Some((_, walk)) = &mut self.scope
            {
                match walk.next() {
                    Some((place, message)) => return self.point(place, message),
                    None => self.scope = None,
                }
            } else if !self.advance() {
                return None;
            }
        }
    }
}

/// A Point that is still in its request. Every answer is read from the bytes when it is asked for.
#[derive(Debug, Clone)]
pub struct PointRef<'a> {
    pub(super) batch: &'a OtlpBatch,
    pub(super) place: Place,
    pub(super) message: &'a [u8],
    pub(super) resource: Arc<Resource>,
    pub(super) scope: Arc<Scope>,
    pub(super) series: Option<Arc<Series>>,
}

impl<'a> PointRef<'a> {
    /// What it is.
    pub const fn category(&self) -> Category {
        self.batch.signal().category()
    }

    /// The name of the span, the metric or the event.
    pub fn name(&self) -> &str {
        let own = |number| {
            let last = Occurrences::of(number, self.message).last();
            last.map_or("", Raw::text)
        };
        match (&self.series, self.batch.signal()) {
            (Some(series), _) => series.name(),
            (None, Signal::Logs) => own(12),
            (None, _) => own(5),
        }
    }

    /// Whose it is.
    pub const fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// What has measured it.
    pub const fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// The metric, if it is a data point.
    pub fn series(&self) -> Option<&Series> {
        self.series.as_deref()
    }

    /// All its attributes.
    pub fn attributes(&self) -> Attributes<'a> {
        let number = match (self.batch.signal(), self.kind()) {
            (Signal::Logs, _) => 6,
            (Signal::Traces, _) | (Signal::Metrics, HISTOGRAM) => 9,
            (Signal::Metrics, EXPONENTIAL) => 1,
            (Signal::Metrics, _) => 7,
        };
        Attributes::of(number, self.message)
    }

    /// The attributes that are text, which are the tags of a Point. A name that comes several times comes so here.
    pub fn tags(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.attributes().filter_map(|own| match own.value {
            AnyValue::Text(text) => Some((own.key, text)),
            _ => None,
        })
    }

    /// The tag `key`; of several with one name the last.
    pub fn tag(&self, key: &str) -> Option<&'a str> {
        let found = self.tags().filter(|(own, _)| *own == key).last();
        found.map(|(_, text)| text)
    }

    /// All else of a span, if it is one.
    pub fn span(&self) -> Option<Span<'a>> {
        (self.batch.signal() == Signal::Traces).then(|| Span::read(self.message))
    }

    /// All else of a log record, if it is one.
    pub fn log_record(&self) -> Option<LogRecord<'a>> {
        (self.batch.signal() == Signal::Logs).then(|| LogRecord::read(self.message))
    }

    /// All else of a data point, if it is one.
    pub fn data_point(&self) -> Option<DataPoint<'a>> {
        (self.batch.signal() == Signal::Metrics).then(|| DataPoint::read(self.kind(), self.message))
    }

    fn kind(&self) -> u32 {
        self.series.as_ref().map_or(0, |own| own.metric.run.kind)
    }

    /// The Point by itself, decoded; it shares the bytes of the request.
    pub fn to_point(&self) -> Point {
        let mut parts = Parts::of(item_shape(self.batch.signal(), self.kind()), self.message);
        if let Some(series) = &self.series {
            let (name, fields) = series.metric.parts();
            parts.name = name.clone();
            for (key, value) in fields {
                parts.fields.set(key.clone(), value.clone());
            }
        }
        let wire = Wire {
            batch: self.batch.clone(),
            place: self.place,
            resource: Arc::clone(&self.resource),
            scope: Arc::clone(&self.scope),
            series: self.series.clone(),
            name: parts.name.clone(),
            time: parts.time,
            start: parts.start,
        };
        if self.batch.signal() == Signal::Traces && parts.start != 0 && parts.time != 0 {
            let duration = i128::from(parts.time) - i128::from(parts.start);
            let most = if duration < 0 { i64::MIN } else { i64::MAX };
            let duration = i64::try_from(duration).unwrap_or(most);
            parts
                .fields
                .set(Text::new_static(DURATION), Value::Int(duration));
        }
        let mut point = Point {
            category: self.category(),
            name: parts.name.clone(),
            time: parts.time,
            start: parts.start,
            resource: Some(Arc::clone(&self.resource)),
            scope: Some(Arc::clone(&self.scope)),
            tags: std::mem::take(&mut parts.tags),
            fields: parts.into_fields(),
            wire: None,
        };
        point.tags.read_from(Some(wire.source()));
        point.fields.read_from(Some(wire.source()));
        point.wire = Some(Arc::new(wire));
        point
    }
}

/// How an item of a signal is encoded; for metrics also of a kind.
pub(super) fn item_shape(signal: Signal, kind: u32) -> &'static Shape {
    match signal {
        Signal::Traces => &SPAN,
        Signal::Logs => &LOG_RECORD,
        Signal::Metrics => shape::data_point(kind),
    }
}

/// Where a Point has come from: the bytes of a request, shared by all its Points.
#[derive(Debug)]
pub struct Wire {
    pub(super) batch: OtlpBatch,
    pub(super) place: Place,
    pub(super) resource: Arc<Resource>,
    pub(super) scope: Arc<Scope>,
    pub(super) series: Option<Arc<Series>>,
    pub(super) name: Text,
    time: u64,
    start: u64,
}

impl Wire {
    /// The span, the data point or the log record as it was encoded.
    pub fn bytes(&self) -> &[u8] {
        &self.batch.bytes()[self.place.start..self.place.to]
    }

    /// The request that it came with.
    pub const fn batch(&self) -> &OtlpBatch {
        &self.batch
    }

    /// Tells Points of all requests that are in memory apart.
    fn source(&self) -> NonZeroUsize {
        let address = self.batch.bytes().as_ptr() as usize + self.place.start;
        NonZeroUsize::new(address).unwrap_or(NonZeroUsize::MIN)
    }

    /// Whether `point` says something else.
    pub(crate) fn differs(&self, point: &Point) -> bool {
        self.item_differs(point) || self.is_elsewhere(point)
    }

    /// Whether `point` has something else than this in itself.
    pub(super) fn item_differs(&self, point: &Point) -> bool {
        !self.has_tags_of(point)
            || !self.has_fields_of(point)
            || (self.time, self.start) != (point.time, point.start)
            || self.name != point.name
            || self.batch.signal().category() != point.category
    }

    /// Whether the tags of `point` are as they were read.
    pub(super) fn has_tags_of(&self, point: &Point) -> bool {
        point.tags.is_from(self.source())
    }

    /// Whether the fields of `point` are as they were read.
    pub(super) fn has_fields_of(&self, point: &Point) -> bool {
        point.fields.is_from(self.source())
    }

    /// Whether `point` has another resource or scope than this.
    pub(super) fn is_elsewhere(&self, point: &Point) -> bool {
        let resource = point.resource.as_ref();
        let scope = point.scope.as_ref();
        resource.is_none_or(|own| !Arc::ptr_eq(own, &self.resource))
            || scope.is_none_or(|own| !Arc::ptr_eq(own, &self.scope))
    }
}

/// Equal if they are the same bytes.
impl PartialEq for Wire {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}
