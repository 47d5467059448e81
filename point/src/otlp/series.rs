//! What the data points of one metric have in common.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{
    Attributes,
    decode::{self, Parts},
    fields::{Fields, Occurrences, Raw},
    group::{Group, Place},
    metrics::{
        EXPONENTIAL, ExponentialPoint, HISTOGRAM, HistogramPoint, NumberPoint, Run, SUMMARY,
        SummaryPoint, Temporality,
    },
    shape::{self, METRIC, TYPE},
};
use crate::{Table, Text, Value};

/// A data point, read in place.
#[derive(Debug, Clone)]
pub enum DataPoint<'a> {
    /// Of a gauge or a sum.
    Number(NumberPoint<'a>),
    /// Of a histogram.
    Histogram(HistogramPoint<'a>),
    /// Of an exponential histogram.
    Exponential(ExponentialPoint<'a>),
    /// Of a summary.
    Summary(SummaryPoint<'a>),
}

impl<'a> DataPoint<'a> {
    pub(super) fn read(kind: u32, message: &'a [u8]) -> Self {
        match kind {
            HISTOGRAM => Self::Histogram(HistogramPoint::read(message)),
            EXPONENTIAL => Self::Exponential(ExponentialPoint::read(message)),
            SUMMARY => Self::Summary(SummaryPoint::read(message)),
            _ => Self::Number(NumberPoint::read(message)),
        }
    }
}

/// A metric without its data points, read in place.
#[derive(Debug)]
pub struct Series {
    pub(super) metric: Arc<Metric>,
    pub(super) data: Group,
}

/// The message of a metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) group: Group,
    pub(super) run: Run,
    /// What its data has beside the points, of all parts if it came in parts.
    pub(super) data: Bytes,
    /// Name and fields, once somebody has asked.
    fields: OnceLock<(Text, Table<Value>)>,
}

impl Metric {
    pub(super) fn at(place: Place, request: &Bytes) -> Self {
        let message = &request[place.start..place.to];
        let run = Run::of(message);
        let group = Group::at(place, request, |number, _| Run::is_kind(number));
        let mut data = Vec::new();
        for part in Occurrences::of(run.kind, message.get(run.from..).unwrap_or_default()) {
            let part = part.bytes();
            for field in Fields::of(part).placed().filter(|field| field.number != 1) {
                data.extend_from_slice(&part[field.from..field.to]);
            }
        }
        Self {
            group,
            run,
            data: data.into(),
            fields: OnceLock::new(),
        }
    }

    /// Its name, and what every Point of it has.
    pub(super) fn parts(&self) -> &(Text, Table<Value>) {
        self.fields.get_or_init(|| {
            let Parts { name, fields, .. } = Parts::of(&METRIC, &self.group.own);
            let mut all = decode::map(shape::data(self.run.kind), &self.data);
            for (key, value) in &fields {
                all.set(key.clone(), value.clone());
            }
            let kind = Text::new_static(shape::kind_name(self.run.kind));
            all.set(Text::new_static(TYPE), kind);
            (name, all)
        })
    }
}

impl Series {
    /// The name of the metric.
    pub fn name(&self) -> &str {
        self.text(1)
    }

    /// What it is about; often empty.
    pub fn description(&self) -> &str {
        self.text(2)
    }

    /// Its unit in UCUM; often empty.
    pub fn unit(&self) -> &str {
        self.text(3)
    }

    /// What else is known about it.
    pub fn metadata(&self) -> Attributes<'_> {
        Attributes::of(12, &self.metric.group.own)
    }

    /// `gauge`, `sum`, `histogram`, `exponential_histogram` or `summary`.
    pub fn kind(&self) -> &'static str {
        shape::kind_name(self.metric.run.kind)
    }

    /// What its points span; gauges and summaries say nothing.
    pub fn temporality(&self) -> Temporality {
        match last(2, &self.metric.data).map_or(0, Raw::varint) {
            1 => Temporality::Delta,
            2 => Temporality::Cumulative,
            _ => Temporality::Unspecified,
        }
    }

    /// Whether it is a sum that only grows.
    pub fn is_monotonic(&self) -> bool {
        last(3, &self.metric.data).is_some_and(|raw| raw.varint() != 0)
    }

    fn text(&self, number: u32) -> &str {
        last(number, &self.metric.group.own).map_or("", Raw::text)
    }
}

fn last(number: u32, message: &[u8]) -> Option<Raw<'_>> {
    Occurrences::of(number, message).last()
}
