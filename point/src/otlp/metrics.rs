//! Reads metrics from the bytes of a request, without allocating or copying.

mod points;

use super::{
    Attributes, OtlpBatch, ResourceRef, ScopeRef, Signal,
    fields::{Fields, Nested, Occurrences, Raw},
};

pub use self::points::{
    Buckets, Exemplar, ExponentialPoint, ExponentialPoints, HistogramPoint, HistogramPoints,
    Number, NumberPoint, NumberPoints, Span, SummaryPoint, SummaryPoints,
};

impl OtlpBatch {
    /// The metrics by resource; none if the batch carries another signal.
    pub fn resource_metrics(&self) -> impl Iterator<Item = ResourceMetrics<'_>> + Clone {
        let bytes: &[u8] = match self.signal() {
            Signal::Metrics => self.bytes(),
            Signal::Traces | Signal::Logs => &[],
        };
        Occurrences::of(1, bytes).map(|raw| ResourceMetrics(raw.bytes()))
    }
}

/// The metrics of one resource.
#[derive(Debug, Clone, Copy)]
pub struct ResourceMetrics<'a>(&'a [u8]);

impl<'a> ResourceMetrics<'a> {
    /// The attributes of the resource.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::nested(1, 1, self.0)
    }

    /// The whole resource.
    pub const fn resource(&self) -> ResourceRef<'a> {
        ResourceRef(self.0)
    }

    /// Its metrics by instrumentation scope.
    pub fn scopes(&self) -> impl Iterator<Item = ScopeMetrics<'a>> + Clone + use<'a> {
        Occurrences::of(2, self.0).map(|raw| ScopeMetrics(raw.bytes()))
    }
}

/// The metrics of one instrumentation scope.
#[derive(Debug, Clone, Copy)]
pub struct ScopeMetrics<'a>(&'a [u8]);

impl<'a> ScopeMetrics<'a> {
    /// The whole scope.
    pub const fn scope(&self) -> ScopeRef<'a> {
        ScopeRef(self.0)
    }

    /// The name of the scope; empty if not given.
    pub fn name(&self) -> &'a str {
        Nested::of(1, 1, self.0).last().map_or("", Raw::text)
    }

    /// The version of the scope; empty if not given.
    pub fn version(&self) -> &'a str {
        Nested::of(1, 2, self.0).last().map_or("", Raw::text)
    }

    /// The attributes of the scope.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::nested(1, 3, self.0)
    }

    /// Its metrics.
    pub fn metrics(&self) -> impl Iterator<Item = Metric<'a>> + Clone + use<'a> {
        Occurrences::of(2, self.0).map(|raw| Metric::read(raw.bytes()))
    }
}

/// A metric with its data points.
#[derive(Debug, Clone)]
pub struct Metric<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is about; often empty.
    pub description: &'a str,
    /// Its unit in UCUM; often empty.
    pub unit: &'a str,
    /// Its data points; of several kinds in one metric the last counts.
    pub data: Data<'a>,
    message: &'a [u8],
}

/// The kinds of metrics.
#[derive(Debug, Clone)]
pub enum Data<'a> {
    /// None was given, or one that is not known.
    Empty,
    /// The latest values.
    Gauge(NumberPoints<'a>),
    /// Sums.
    Sum {
        /// The sums.
        points: NumberPoints<'a>,
        /// What they span.
        temporality: Temporality,
        /// Whether they only grow.
        monotonic: bool,
    },
    /// Histograms with buckets of their own.
    Histogram {
        /// The histograms.
        points: HistogramPoints<'a>,
        /// What they span.
        temporality: Temporality,
    },
    /// Histograms with exponential buckets.
    ExponentialHistogram {
        /// The histograms.
        points: ExponentialPoints<'a>,
        /// What they span.
        temporality: Temporality,
    },
    /// Quantiles.
    Summary(SummaryPoints<'a>),
}

/// What a sum or a histogram spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Temporality {
    /// Not given, or not known; the protocol forbids both.
    Unspecified,
    /// The time since the point before.
    Delta,
    /// The time since a start that stays.
    Cumulative,
}

pub(super) const GAUGE: u32 = 5;
pub(super) const SUM: u32 = 7;
pub(super) const HISTOGRAM: u32 = 9;
pub(super) const EXPONENTIAL: u32 = 10;
pub(super) const SUMMARY: u32 = 11;

impl<'a> Metric<'a> {
    fn read(message: &'a [u8]) -> Self {
        let mut metric = Metric {
            name: "",
            description: "",
            unit: "",
            data: Data::Empty,
            message,
        };
        let mut run = Run::default();
        for field in Fields::of(message).placed() {
            run.see(field.number, field.from);
            match field.number {
                1 => metric.name = field.raw.text(),
                2 => metric.description = field.raw.text(),
                3 => metric.unit = field.raw.text(),
                _ => {}
            }
        }
        metric.data = Data::read(run.kind, message.get(run.from..).unwrap_or_default());
        metric
    }

    /// What else is known about it.
    pub const fn metadata(&self) -> Attributes<'a> {
        Attributes::of(12, self.message)
    }
}

/// The kind of data that came last in a metric, which is the one that counts, and where its run of
/// occurrences begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// The number of its field; 0 for none.
    pub(super) kind: u32,
    pub(super) from: usize,
}

impl Run {
    pub(super) const fn is_kind(number: u32) -> bool {
        matches!(number, GAUGE | SUM | HISTOGRAM | EXPONENTIAL | SUMMARY)
    }

    pub(super) fn of(metric: &[u8]) -> Self {
        let mut run = Self::default();
        for field in Fields::of(metric).placed() {
            run.see(field.number, field.from);
        }
        run
    }

    fn see(&mut self, number: u32, from: usize) {
        if Self::is_kind(number) && number != self.kind {
            (self.kind, self.from) = (number, from);
        }
    }

    /// Whether the field `number` that begins at `from` holds data points that count.
    pub(super) const fn holds(&self, number: u32, from: usize) -> bool {
        number == self.kind && from >= self.from
    }
}

impl<'a> Data<'a> {
    fn read(kind: u32, message: &'a [u8]) -> Self {
        let last = |number| {
            Nested::of(kind, number, message)
                .last()
                .map_or(0, Raw::varint)
        };
        let temporality = || match last(2) {
            1 => Temporality::Delta,
            2 => Temporality::Cumulative,
            _ => Temporality::Unspecified,
        };
        let points = Nested::of(kind, 1, message);
        match kind {
            GAUGE => Self::Gauge(NumberPoints(points)),
            SUM => Self::Sum {
                points: NumberPoints(points),
                temporality: temporality(),
                monotonic: last(3) != 0,
            },
            HISTOGRAM => Self::Histogram {
                points: HistogramPoints(points),
                temporality: temporality(),
            },
            EXPONENTIAL => Self::ExponentialHistogram {
                points: ExponentialPoints(points),
                temporality: temporality(),
            },
            SUMMARY => Self::Summary(SummaryPoints(points)),
            _ => Self::Empty,
        }
    }
}
