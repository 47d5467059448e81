//! The Prometheus page in each of its formats. Who has metrics writes them through [`Page`]
//! and need not know which format was asked for.

mod exemplar;
mod labels;
mod message;
mod number;
mod protobuf;
mod reread;
mod text;

pub(crate) use self::reread::reread;
pub use self::{
    exemplar::{Exemplar, Exemplars},
    number::Number,
};
use self::{protobuf::Protobuf, text::Text};

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text format 0.0.4, which every Prometheus reads.
    Text,
    /// The text format of OpenMetrics 1.0.0.
    OpenMetrics,
    /// `io.prometheus.client.MetricFamily` messages, each after its length.
    Protobuf,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::OpenMetrics, Self::Protobuf];

    /// As it stands in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::OpenMetrics => "openmetrics",
            Self::Protobuf => "protobuf",
        }
    }

    /// The media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// What stands at the end of the whole page.
    pub const fn end(self) -> &'static str {
        match self {
            Self::OpenMetrics => "# EOF\n",
            Self::Text | Self::Protobuf => "",
        }
    }
}

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size.
    Histogram,
    /// Quantiles.
    Summary,
    /// A gauge that is always 1 and says what it has to say with its labels.
    Info,
}

/// What is said of a metric once, before its series.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The name of the text format: a counter's ends in `_total`, an info's in `_info`.
    pub name: &'a str,
    /// Its kind.
    pub kind: Kind,
    /// What it is about, as it is to be read.
    pub help: &'a str,
    /// Its unit, spelled out; shown where the format has a place for it and the name ends with it.
    pub unit: &'a str,
    /// Whether another metric has the name that OpenMetrics gives to this counter or info: its own
    /// without `_total` or `_info`, or that with `_created`.
    pub crowded: bool,
}

impl<'a> Head<'a> {
    /// The name without what its kind adds to it.
    fn base(&self) -> &'a str {
        let ending = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram | Kind::Summary => "",
        };
        self.name.strip_suffix(ending).unwrap_or(self.name)
    }

    /// The unit, if the name ends with it.
    fn unit(&self) -> Option<&'a str> {
        let rest = self.base().strip_suffix(self.unit)?;
        (!self.unit.is_empty() && rest.ends_with('_')).then_some(self.unit)
    }
}

/// The labels of a series, as they stand between the braces of the text format, in two parts.
/// Either can be empty.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a>(pub &'a str, pub &'a str);

/// What is known of a series beyond its value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin<'a> {
    /// When it began with zero: nanoseconds since the epoch, 0 if not known.
    pub created: u64,
    /// Examples, by value.
    pub exemplars: &'a [Exemplar],
}

/// A histogram.
#[derive(Debug, Clone, Copy)]
pub struct Histogram<'a> {
    /// All values.
    pub count: u64,
    /// Their sum, where it is known.
    pub sum: Option<f64>,
    /// Each bound and the number of values up to it, without the last one, which is infinite.
    pub buckets: &'a [(f64, u64)],
    /// The same in finer buckets.
    pub native: Option<Native<'a>>,
}

/// The exponential buckets of a histogram as Prometheus has them: bucket `i` ends with
/// `2^(i * 2^-schema)`.
#[derive(Debug, Clone, Copy)]
pub struct Native<'a> {
    /// How fine they are, from -4 to 8.
    pub schema: i32,
    /// How near to zero counts as zero.
    pub zero_threshold: f64,
    /// How many values are zero or near.
    pub zero_count: u64,
    /// The number of the first bucket above zero, and all counts from there.
    pub positive: (i32, &'a [u64]),
    /// The same below zero.
    pub negative: (i32, &'a [u64]),
}

/// Quantiles.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a> {
    /// All values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Each quantile, from 0 to 1, and its value.
    pub quantiles: &'a [(f64, f64)],
}

/// Takes metrics and becomes text or messages.
#[derive(Debug)]
pub struct Page(Writer);

#[derive(Debug)]
enum Writer {
    Text(Text),
    Protobuf(Protobuf),
}

impl Page {
    /// Nothing yet.
    pub fn new(format: Format) -> Self {
        Self(match format {
            Format::Text => Writer::Text(Text::new(false)),
            Format::OpenMetrics => Writer::Text(Text::new(true)),
            Format::Protobuf => Writer::Protobuf(Protobuf::default()),
        })
    }

    /// Room for `bytes` more. Growing megabytes would copy them again and again.
    pub fn reserve(&mut self, bytes: usize) {
        match &mut self.0 {
            Writer::Text(text) => text.reserve(bytes),
            Writer::Protobuf(messages) => messages.reserve(bytes),
        }
    }

    /// The series to come are of this metric.
    pub fn family(&mut self, head: &Head<'_>) {
        match &mut self.0 {
            Writer::Text(text) => text.family(head),
            Writer::Protobuf(messages) => messages.family(head),
        }
    }

    /// A series of a counter, a gauge or an info.
    pub fn number(&mut self, labels: Labels<'_>, value: Number, origin: Origin<'_>) {
        match &mut self.0 {
            Writer::Text(text) => text.number(labels, value, origin),
            Writer::Protobuf(messages) => messages.number(labels, value, origin),
        }
    }

    /// A series of a histogram.
    pub fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram<'_>, origin: Origin<'_>) {
        match &mut self.0 {
            Writer::Text(text) => text.histogram(labels, histogram, origin),
            Writer::Protobuf(messages) => messages.histogram(labels, histogram, origin),
        }
    }

    /// A series of a summary.
    pub fn summary(&mut self, labels: Labels<'_>, summary: &Summary<'_>, origin: Origin<'_>) {
        match &mut self.0 {
            Writer::Text(text) => text.summary(labels, summary, origin),
            Writer::Protobuf(messages) => messages.summary(labels, summary, origin),
        }
    }

    /// All that was written.
    pub fn finish(self) -> Vec<u8> {
        match self.0 {
            Writer::Text(text) => text.finish(),
            Writer::Protobuf(messages) => messages.finish(),
        }
    }
}
