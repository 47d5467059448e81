//! One Prometheus metric: its name, kind and help, and its series.

mod exemplars;
mod render;

use weir_point::otlp::{
    Attributes,
    metrics::{
        Data, Exemplar, ExponentialPoints, HistogramPoints, Metric, Number, NumberPoints, Span,
        SummaryPoints, Temporality,
    },
};

pub(super) use self::exemplars::Allowance;
use super::{
    Cause,
    histogram::{COARSEST, Histogram, Shared},
    labels::Labels,
    meters::Tally,
    series::{Arrival, Change, Outcome, Series, Tick, Value},
    summary::Summary,
};
use crate::{page, profile::naming};

/// Longer label sets would let a few series fill the memory.
const LONGEST_LABELS: usize = 16 * 1024;
/// Enough for a description; the rest is cut.
const LONGEST_HELP: usize = 1024;

/// What kind of metric it is, and how its name ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Counter,
    /// A gauge by nature.
    Gauge,
    /// A sum that goes up and down, which Prometheus takes for a gauge.
    UpDown,
    Histogram,
    Summary,
}

impl Kind {
    /// The kind of a metric; `None` if it is none.
    pub(super) fn of(data: &Data<'_>) -> Option<Self> {
        Some(match data {
            Data::Empty => return None,
            Data::Gauge(_) => Self::Gauge,
            Data::Sum { monotonic, .. } => match monotonic {
                true => Self::Counter,
                false => Self::UpDown,
            },
            Data::Histogram { .. } | Data::ExponentialHistogram { .. } => Self::Histogram,
            Data::Summary(_) => Self::Summary,
        })
    }

    /// What it is on the page.
    pub(super) const fn shown(self) -> page::Kind {
        match self {
            Self::Counter => page::Kind::Counter,
            Self::Gauge | Self::UpDown => page::Kind::Gauge,
            Self::Histogram => page::Kind::Histogram,
            Self::Summary => page::Kind::Summary,
        }
    }

    /// The Prometheus name of a metric of this kind.
    pub(super) fn name(self, name: &str, unit: &str) -> String {
        match self {
            Self::Counter => naming::metric(name, unit, naming::Kind::Counter),
            Self::Gauge => naming::metric(name, unit, naming::Kind::Gauge),
            Self::UpDown | Self::Histogram | Self::Summary => naming::plain(name, unit),
        }
    }

    /// What follows the name on its samples, in one of the formats.
    pub(super) const fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter | Self::Gauge | Self::UpDown => &[""],
            Self::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
            Self::Summary => &["", "_sum", "_count", "_created"],
        }
    }
}

/// A metric with its series.
#[derive(Debug)]
pub(super) struct Family {
    name: String,
    unit: String,
    kind: Kind,
    /// As the first client that gave one described it.
    description: String,
    original: String,
    store: Store,
}

#[derive(Debug)]
enum Store {
    Numbers(Series<Number>),
    Histograms(Series<Histogram>, Shared),
    Summaries(Series<Summary>),
}

/// What all points of a batch have in common.
#[derive(Debug)]
pub(super) struct Intake<'a, 'batch> {
    pub(super) labels: &'a mut Labels<'batch>,
    pub(super) tally: &'a mut Tally,
    pub(super) exemplars: &'a Allowance,
    pub(super) budget: usize,
    pub(super) now: Tick,
}

/// A data point without its value.
struct Point<'batch, E> {
    attributes: Attributes<'batch>,
    /// The label that the metric has for itself.
    own: &'static str,
    span: Span,
    change: Change,
    exemplars: E,
}

impl Family {
    /// The metric `name`, made of what clients call it, without series.
    pub(super) fn new(name: String, original: &str, unit: &str, kind: Kind) -> Self {
        Self {
            name,
            unit: naming::unit(unit, kind == Kind::Gauge),
            kind,
            description: String::new(),
            original: original.to_owned(),
            store: match kind {
                Kind::Counter | Kind::Gauge | Kind::UpDown => Store::Numbers(Series::default()),
                Kind::Histogram => Store::Histograms(Series::default(), Shared::default()),
                Kind::Summary => Store::Summaries(Series::default()),
            },
        }
    }

    /// The number of label sets.
    pub(super) fn len(&self) -> usize {
        match &self.store {
            Store::Numbers(series) => series.len(),
            Store::Histograms(series, _) => series.len(),
            Store::Summaries(series) => series.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match &self.store {
            Store::Numbers(series) => series.is_empty(),
            Store::Histograms(series, _) => series.is_empty(),
            Store::Summaries(series) => series.is_empty(),
        }
    }

    /// How many exemplars are held.
    pub(super) fn exemplars(&self) -> usize {
        match &self.store {
            Store::Numbers(series) => series.exemplars(),
            Store::Histograms(series, _) => series.exemplars(),
            Store::Summaries(series) => series.exemplars(),
        }
    }

    /// Remove what was idle for too long; returns how many label sets.
    pub(super) fn sweep(&mut self, now: Tick, expiry: Tick, budget: usize) -> usize {
        match &mut self.store {
            Store::Numbers(series) => series.sweep(now, expiry, budget),
            Store::Histograms(series, _) => series.sweep(now, expiry, budget),
            Store::Summaries(series) => series.sweep(now, expiry, budget),
        }
    }

    /// Take in all points of `metric`.
    pub(super) fn take<'batch>(&mut self, metric: Metric<'batch>, intake: &mut Intake<'_, 'batch>) {
        self.describe(metric.description, intake.tally);
        let kind = self.kind;
        match (&mut self.store, metric.data) {
            (Store::Numbers(series), Data::Gauge(points)) => {
                intake.numbers(series, points, Change::Replace, kind);
            }
            (
                Store::Numbers(series),
                Data::Sum {
                    points,
                    temporality,
                    monotonic,
                },
            ) => {
                let grow = match monotonic {
                    true => Change::Grow,
                    false => Change::Replace,
                };
                if let Some(change) = intake.change(temporality, grow, points.clone()) {
                    intake.numbers(series, points, change, kind);
                }
            }
            (
                Store::Histograms(series, shared),
                Data::Histogram {
                    points,
                    temporality,
                },
            ) => {
                if let Some(change) = intake.change(temporality, Change::Replace, points.clone()) {
                    intake.explicit(series, points, change, shared);
                }
            }
            (
                Store::Histograms(series, shared),
                Data::ExponentialHistogram {
                    points,
                    temporality,
                },
            ) => {
                if let Some(change) = intake.change(temporality, Change::Replace, points.clone()) {
                    intake.exponential(series, points, change, shared);
                }
            }
            (Store::Summaries(series), Data::Summary(points)) => intake.summaries(series, points),
            // Families are looked up by kind, so that these two always fit.
            _ => {}
        }
    }

    fn describe(&mut self, description: &str, tally: &mut Tally) {
        let end = description.floor_char_boundary(LONGEST_HELP);
        let description = description[..end].trim();
        if description.is_empty() || description == self.description {
            return;
        }
        if self.description.is_empty() {
            description.clone_into(&mut self.description);
        } else {
            tally.help_conflicts += 1;
        }
    }
}

impl<'batch> Intake<'_, 'batch> {
    /// How the points of this temporality change what is held.
    fn change<P>(
        &mut self,
        temporality: Temporality,
        cumulative: Change,
        points: impl Iterator<Item = P>,
    ) -> Option<Change> {
        match temporality {
            Temporality::Delta => Some(Change::Add),
            Temporality::Cumulative => Some(cumulative),
            Temporality::Unspecified => {
                self.tally.dropped(Cause::Temporality, points.count());
                None
            }
        }
    }

    fn numbers(
        &mut self,
        series: &mut Series<Number>,
        points: NumberPoints<'batch>,
        change: Change,
        kind: Kind,
    ) {
        for point in points {
            let of = Point {
                attributes: point.attributes(),
                own: "",
                span: point.span,
                change,
                // Only what is counted has a place for them.
                exemplars: (kind == Kind::Counter)
                    .then(|| point.exemplars())
                    .into_iter()
                    .flatten(),
            };
            self.take(series, of, || number(point.value, change, kind));
        }
    }

    fn explicit(
        &mut self,
        series: &mut Series<Histogram>,
        points: HistogramPoints<'batch>,
        change: Change,
        shared: &mut Shared,
    ) {
        for point in points {
            let of = Point {
                attributes: point.attributes(),
                own: "le",
                span: point.span,
                change,
                exemplars: point.exemplars(),
            };
            self.take(series, of, || Histogram::explicit(&point, shared));
        }
    }

    fn exponential(
        &mut self,
        series: &mut Series<Histogram>,
        points: ExponentialPoints<'batch>,
        change: Change,
        shared: &mut Shared,
    ) {
        for point in points {
            let of = Point {
                attributes: point.attributes(),
                own: "le",
                span: point.span,
                change,
                exemplars: point.exemplars(),
            };
            self.take(series, of, || Histogram::exponential(&point, shared));
            self.tally.coarse += u64::from(point.scale < COARSEST);
        }
    }

    fn summaries(&mut self, series: &mut Series<Summary>, points: SummaryPoints<'batch>) {
        for point in points {
            let of = Point {
                attributes: point.attributes(),
                own: "quantile",
                span: point.span,
                change: Change::Replace,
                exemplars: std::iter::empty(),
            };
            self.take(series, of, || Summary::read(&point));
        }
    }

    fn take<T: Value>(
        &mut self,
        series: &mut Series<T>,
        point: Point<'batch, impl Iterator<Item = Exemplar<'batch>>>,
        value: impl FnOnce() -> Result<T, Cause>,
    ) {
        let span = point.span;
        let labels = self.labels.point(point.attributes, point.own);
        let outcome = if labels.len() > LONGEST_LABELS {
            Outcome::Dropped(Cause::TooLarge)
        } else if span.no_recorded_value {
            series.end(labels);
            Outcome::Taken
        } else {
            match value() {
                Err(cause) => Outcome::Dropped(cause),
                Ok(value) => {
                    let arrival = Arrival {
                        labels,
                        span,
                        change: point.change,
                        value: &value,
                        now: self.now,
                    };
                    series.take(arrival, self.budget)
                }
            }
        };
        self.exemplars
            .take(point.exemplars, outcome, series, labels, self.tally);
        self.tally.count(outcome);
    }
}

/// The value of a point. What is added up must be a number, and not less than 0 for a counter:
/// the sum would never recover.
fn number(value: Option<Number>, change: Change, kind: Kind) -> Result<Number, Cause> {
    let value = value.ok_or(Cause::Malformed)?;
    let (finite, negative) = match value {
        Number::Int(int) => (true, int < 0),
        Number::Double(double) => (double.is_finite(), double < 0.0),
    };
    let adds = change == Change::Add || change == Change::Grow;
    if adds && (!finite || kind == Kind::Counter && negative) {
        return Err(Cause::Malformed);
    }
    Ok(value)
}
