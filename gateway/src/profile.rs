//! Export profiles: which names, units and attributes a data set has outside. Data,
//! not code; every metrics output reads the same tables.

pub mod naming;
mod native;
mod semconv;

use std::borrow::Cow;

use weir_point::{Point, Text};
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

/// The metrics of the Points of one name.
#[derive(Debug)]
pub struct DataSet {
    /// The name of the Points.
    pub point: &'static str,
    /// The name of the event that a Point is, as an OTLP log record.
    pub event: &'static str,
    /// Tags and their names. A tag that does not identify a series is left out of metrics,
    /// so that several Points may fall on one series.
    pub attributes: &'static [Attribute],
    /// The metrics, grouped by what identifies their series.
    pub groups: &'static [Group],
}

/// A tag and its name outside.
#[derive(Debug)]
pub struct Attribute {
    /// The tag of the Point.
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
}

/// What an OTLP attribute describes. Prometheus has labels only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Where the data came from.
    Resource,
    /// The single series, and the single record.
    Series,
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
    /// The metrics of Points named `name`, if there are any.
    pub fn data_set(&self, name: &str) -> Option<&'static DataSet> {
        self.data_sets.iter().find(|set| set.point == name)
    }
}

impl DataSet {
    /// The attributes that identify a series of `group`.
    pub fn attributes_of(
        &'static self,
        group: &'static Group,
    ) -> impl Iterator<Item = &'static Attribute> {
        self.attributes
            .iter()
            .filter(|attribute| attribute.scope != Scope::Record)
            .chain(&group.split_by)
    }

    /// The attributes that describe where Points came from.
    pub fn resource(&'static self) -> impl Iterator<Item = &'static Attribute> {
        self.attributes
            .iter()
            .filter(|attribute| attribute.scope == Scope::Resource)
    }

    /// The attributes of a single log record or span.
    pub fn record(&'static self) -> impl Iterator<Item = &'static Attribute> {
        let split_by = self
            .groups
            .iter()
            .filter_map(|group| group.split_by.as_ref());
        self.attributes
            .iter()
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

impl Attribute {
    /// The value outside of this attribute of `point`, if it has one.
    pub fn of<'a>(&self, point: &'a Point) -> Option<Cow<'a, str>> {
        let value: &Text = point.tags.get(self.tag)?;
        match self.form {
            Form::Text => Some(Cow::Borrowed(value)),
            Form::LowerCase => Some(Cow::Owned(value.to_ascii_lowercase())),
            Form::Integer => value.parse::<i64>().ok().map(|_| Cow::Borrowed(&**value)),
        }
    }
}
