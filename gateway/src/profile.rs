//! Export profiles: which names, units and attributes a data set has outside. Data,
//! not code; every metrics output reads the same tables.

pub mod naming;
mod native;
mod semconv;

use std::borrow::Cow;

use weir_point::{Point, Text, Value};
use weir_runtime::config::Scalar;

pub use self::{native::NATIVE, semconv::SEMCONV};

/// What the Points of each data set are called outside.
#[derive(Debug)]
pub struct Profile {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Which schema its names are of, for OTLP; empty if nobody has published one.
    pub schema_url: &'static str,
    /// One entry per data set that has metrics.
    pub data_sets: &'static [DataSet],
}

/// There is one of each name.
impl PartialEq for Profile {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Profile {}

/// The metrics of the Points of one name.
#[derive(Debug)]
pub struct DataSet {
    /// The name of the Points.
    pub point: &'static str,
    /// The name of the event that a Point is, as an OTLP log record.
    pub event: &'static str,
    /// Tags and their names, in parts that data sets share. A tag that does not identify a series is left
    /// out of metrics, so that several Points may fall on one series.
    pub attributes: &'static [&'static [Attribute]],
    /// The metrics, grouped by what identifies their series.
    pub groups: &'static [Group],
}

/// A tag and its name outside.
#[derive(Debug, Clone, Copy)]
pub struct Attribute {
    /// The tag of the Point, or the field, where the form says so.
    pub tag: &'static str,
    /// The name of the OTLP attribute.
    pub name: &'static str,
    /// How the value is written.
    pub form: Form,
    /// What the attribute describes in OTLP.
    pub scope: Scope,
}

/// How the value of a tag is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Text,
    /// In lower case.
    LowerCase,
    /// As a number; what is not a number, such as the merged port `*`, is left out.
    Integer,
    /// As a number that may have a fraction; what is not a finite number is left out.
    Decimal,
    /// `https` for `true`, `http` for anything else.
    Scheme,
    /// The whole number of a field.
    Number,
    /// The same; 0 means that there is none.
    Code,
    /// The yes or no of a field.
    Flag,
}

/// What an OTLP attribute describes. Prometheus has labels only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Where the data came from.
    Resource,
    /// The single series, and the single record.
    Series,
    /// The single record, and the single series where it is about the server: a server's clients are too many
    /// to have a series each.
    Server,
    /// The single log record or span. Metrics do not have it: it would make too many series.
    Record,
}

/// Metrics whose series are identified by the same attributes.
#[derive(Debug)]
pub struct Group {
    /// Its name in the gateway's own metrics.
    pub name: &'static str,
    /// A tag that these metrics are split by in addition; Points without it have none
    /// of these metrics.
    pub split_by: Option<Attribute>,
    /// Sums of deltas; entries of one metric stand next to each other.
    pub counters: &'static [Counter],
    /// Values of the latest moment.
    pub gauges: &'static [Gauge],
    /// Values counted by size.
    pub histograms: &'static [Histogram],
}

/// A field that is a delta.
#[derive(Debug)]
pub struct Counter {
    /// The field of the Point.
    pub field: &'static str,
    /// The OTLP name of the metric.
    pub name: &'static str,
    /// The unit, in UCUM.
    pub unit: &'static str,
    /// One sentence for users.
    pub help: &'static str,
    /// An attribute that tells fields of the same metric apart.
    pub attribute: Option<(&'static str, &'static str)>,
    /// The attribute that has the number on a log record or a span.
    pub record: &'static str,
}

/// A field that is a value of its moment.
#[derive(Debug)]
pub struct Gauge {
    /// The field of the Point.
    pub field: &'static str,
    /// The OTLP name of the metric.
    pub name: &'static str,
    /// The unit, in UCUM.
    pub unit: &'static str,
    /// One sentence for users.
    pub help: &'static str,
    /// Units of the field in one unit of the metric.
    pub divisor: f64,
    /// What becomes of several Points of one moment on one series.
    pub combine: Combine,
    /// The attribute that has the number on a log record or a span.
    pub record: &'static str,
}

/// Fields that count values by size; deltas all of them.
#[derive(Debug)]
pub struct Histogram {
    /// The field with how many values are in each bucket.
    pub buckets: &'static str,
    /// The field with the sum of the values.
    pub sum: &'static str,
    /// The field with the largest value.
    pub max: &'static str,
    /// The field with their mean.
    pub mean: &'static str,
    /// The OTLP name of the metric.
    pub name: &'static str,
    /// The unit, in UCUM.
    pub unit: &'static str,
    /// One sentence for users.
    pub help: &'static str,
    /// The largest value of each bucket, in units of the fields; one more bucket has no bound.
    pub bounds: &'static [u64],
    /// Units of the fields in one unit of the metric.
    pub divisor: f64,
    /// Which Points it is of; `None`: of all.
    pub side: Option<Side>,
    /// The attributes that have the numbers on a log record or a span.
    pub record: HistogramRecord,
}

/// The attributes of a log record or a span that have the numbers of a [`Histogram`].
#[derive(Debug)]
pub struct HistogramRecord {
    /// The mean.
    pub mean: &'static str,
    /// The sum.
    pub sum: &'static str,
    /// The number of values in each bucket.
    pub buckets: &'static str,
}

/// What the local end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client; also where that is not known.
    Client,
    /// The server.
    Server,
}

/// What becomes of several values of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// Their sum: they count different things.
    Sum,
    /// The largest.
    Max,
    /// Their mean, weighted by the sum of these fields of the same Point.
    Mean(&'static [&'static str]),
}

impl Profile {
    /// Whether a metric has its name from a published schema.
    pub fn is_convention(&self, name: &str) -> bool {
        !self.schema_url.is_empty() && !name.starts_with("weir.")
    }

    /// The metrics of Points named `name`, if there are any.
    pub fn data_set(&self, name: &str) -> Option<&'static DataSet> {
        self.data_sets.iter().find(|set| set.point == name)
    }
}

impl DataSet {
    /// Every attribute that is the same in all groups.
    pub fn attributes(&'static self) -> impl Iterator<Item = &'static Attribute> {
        self.attributes.iter().copied().flatten()
    }

    /// The attributes that identify a series of `group`.
    pub fn attributes_of(
        &'static self,
        group: &'static Group,
    ) -> impl Iterator<Item = &'static Attribute> {
        self.attributes()
            .filter(|attribute| attribute.scope != Scope::Record)
            .chain(&group.split_by)
    }

    /// The attributes that describe where Points came from.
    pub fn resource(&'static self) -> impl Iterator<Item = &'static Attribute> {
        self.attributes()
            .filter(|attribute| attribute.scope == Scope::Resource)
    }

    /// The attributes of a single log record or span.
    pub fn record(&'static self) -> impl Iterator<Item = &'static Attribute> {
        let split_by = self
            .groups
            .iter()
            .filter_map(|group| group.split_by.as_ref());
        self.attributes()
            .filter(|attribute| attribute.scope != Scope::Resource)
            .chain(split_by)
    }
}

impl Scalar for &'static Profile {
    const WHAT: &'static str = "`semconv` or `native`";

    fn parse(text: &str) -> Result<Self, String> {
        [&SEMCONV, &NATIVE]
            .into_iter()
            .find(|profile| profile.name == text)
            .ok_or_else(String::new)
    }

    fn show(&self) -> String {
        self.name.to_owned()
    }
}

impl Group {
    /// Whether `point` has metrics of this group.
    pub fn takes(&self, point: &Point) -> bool {
        self.split_by
            .as_ref()
            .is_none_or(|attribute| point.tags.get(attribute.tag).is_some())
    }
}

impl Histogram {
    /// Whether `point` is of this side.
    pub fn takes(&self, point: &Point) -> bool {
        self.side.is_none_or(|side| side == Side::of(point))
    }

    /// A number in units of the fields as one in the unit of the metric.
    #[expect(
        clippy::cast_precision_loss,
        reason = "metrics have floats; what is lost is below a millionth of a percent"
    )]
    pub fn scaled(&self, number: u64) -> f64 {
        number as f64 / self.divisor
    }
}

impl Side {
    /// The side that `point` is of.
    pub fn of(point: &Point) -> Self {
        match point.tags.get("direction").map(|text| &**text) {
            Some("incoming") => Self::Server,
            _ => Self::Client,
        }
    }
}

impl Attribute {
    /// The value outside of this attribute of `point`, if it has one.
    pub fn of<'a>(&self, point: &'a Point) -> Option<Cow<'a, str>> {
        match self.form {
            Form::Number | Form::Code | Form::Flag => return self.of_field(point).map(Cow::Owned),
            Form::Text | Form::LowerCase | Form::Integer | Form::Decimal | Form::Scheme => {}
        }
        let value: &Text = point.tags.get(self.tag)?;
        match self.form {
            Form::LowerCase => Some(Cow::Owned(value.to_ascii_lowercase())),
            Form::Integer => value.parse::<i64>().ok().map(|_| Cow::Borrowed(&**value)),
            Form::Decimal => {
                let number = value
                    .parse::<f64>()
                    .ok()
                    .filter(|number| number.is_finite());
                number.map(|_| Cow::Borrowed(&**value))
            }
            Form::Scheme if value == "true" => Some(Cow::Borrowed("https")),
            Form::Scheme => Some(Cow::Borrowed("http")),
            _ => Some(Cow::Borrowed(value)),
        }
    }

    /// The same for the series that `point` is on.
    pub fn of_series<'a>(&self, point: &'a Point) -> Option<Cow<'a, str>> {
        self.is_in_series(point).then(|| self.of(point)).flatten()
    }

    /// Whether the series that `point` is on may have this attribute.
    pub fn is_in_series(&self, point: &Point) -> bool {
        match self.scope {
            Scope::Resource | Scope::Series => true,
            Scope::Server => Side::of(point) == Side::Client,
            Scope::Record => false,
        }
    }

    fn of_field(&self, point: &Point) -> Option<String> {
        match (self.form, point.fields.get(self.tag)?) {
            (Form::Code, Value::Int(0)) => None,
            (Form::Number | Form::Code, Value::Int(number)) => Some(number.to_string()),
            (Form::Flag, Value::Bool(answer)) => Some(answer.to_string()),
            _ => None,
        }
    }
}
