//! What one exporter sends: which of the signals received, and flows in which shape.

use std::time::Duration;

use weir_point::otlp::Signal;
use weir_runtime::config::{Scalar, Section};

use crate::{
    budget::{Budget, Limits},
    profile::{Profile, SEMCONV},
};

/// How flows are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flows {
    /// As what; each once.
    pub shapes: Vec<Shape>,
    /// Under which names.
    pub profile: &'static Profile,
    /// How long Points are gathered into metrics.
    pub gather: Duration,
    /// What a counter says.
    pub temporality: Temporality,
    /// Most label sets per metric, and most values per tag, that are kept for cumulative sums.
    pub budget: Budget,
    /// How long a label set of a cumulative sum lives without a Point.
    pub idle_expiry: Duration,
}

/// What a flow becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A data point of each metric, Points of one series and moment together.
    Metrics,
    /// One span per Point.
    Spans,
    /// One log record per Point.
    Logs,
}

/// What a counter says, by the numbers of OTLP's `AggregationTemporality`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temporality {
    /// What came in the period.
    Delta = 1,
    /// Everything since the series began.
    Cumulative = 2,
}

const GATHER: Duration = Duration::from_secs(1);
/// As on the Prometheus page.
const SERIES_BUDGET: usize = 20_000;
const IDLE_EXPIRY: Duration = Duration::from_secs(5 * 60);

impl Flows {
    /// `None` if flows are not sent.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let default = match section.is_given() {
            true => vec![Shape::Metrics],
            false => Vec::new(),
        };
        let mut shapes: Vec<Shape> = Vec::new();
        for shape in section.list_or("as", default) {
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
        let flows = Self {
            shapes,
            profile: section.or("profile", &SEMCONV),
            gather: section.or("gather", GATHER),
            temporality: section.or("temporality", Temporality::Delta),
            budget: Budget {
                series: section.or("series_budget", SERIES_BUDGET),
                values: Limits::read(section),
            },
            idle_expiry: super::positive(section, "idle_expiry", IDLE_EXPIRY),
        };
        if flows.budget.series == 0 {
            section.mistake("series_budget", "must be at least 1");
        }
        (!flows.shapes.is_empty()).then_some(flows)
    }
}

/// What is forwarded of OTLP that is received.
pub(super) fn signals(section: &mut Section<'_>) -> Vec<Signal> {
    let all = [Signal::Traces, Signal::Metrics, Signal::Logs];
    let signals = section.list_or("signals", all.map(Received).to_vec());
    signals.into_iter().map(|Received(signal)| signal).collect()
}

/// A signal, by its name in OTLP.
#[derive(Debug, Clone, Copy)]
struct Received(Signal);

impl Scalar for Received {
    const WHAT: &'static str = "`traces`, `metrics` or `logs`";

    fn parse(text: &str) -> Result<Self, String> {
        [Signal::Traces, Signal::Metrics, Signal::Logs]
            .into_iter()
            .find(|signal| signal.name() == text)
            .map(Self)
            .ok_or_else(String::new)
    }

    fn show(&self) -> String {
        self.0.name().to_owned()
    }
}

impl Shape {
    /// As it stands in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Spans => "spans",
            Self::Logs => "logs",
        }
    }
}

impl Scalar for Shape {
    const WHAT: &'static str = "`metrics`, `spans` or `logs`";

    fn parse(text: &str) -> Result<Self, String> {
        [Self::Metrics, Self::Spans, Self::Logs]
            .into_iter()
            .find(|shape| shape.name() == text)
            .ok_or_else(String::new)
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}

impl Scalar for Temporality {
    const WHAT: &'static str = "`delta` or `cumulative`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "delta" => Ok(Self::Delta),
            "cumulative" => Ok(Self::Cumulative),
            _ => Err(String::new()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Delta => "delta",
            Self::Cumulative => "cumulative",
        }
        .to_owned()
    }
}
