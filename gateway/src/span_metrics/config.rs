//! The keys of the section `span_metrics` and their defaults.

use std::time::Duration;

use weir_runtime::config::Section;

use crate::profile::naming;

/// How spans become metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Attributes of spans, or else of resources, that become labels.
    pub dimensions: Vec<String>,
    /// The bounds of the durations, in ascending order.
    pub buckets: Vec<Duration>,
    /// Most label sets.
    pub series_budget: usize,
    /// Whether the last span of each bucket is named.
    pub exemplars: bool,
}

/// What the OpenTelemetry Collector has, in milliseconds.
const BUCKETS: [u64; 16] = [
    2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000,
];
const MOST_BUCKETS: usize = 100;
const MOST_DIMENSIONS: usize = 16;
/// About 2.5 MiB of memory without exemplars, and 100,000 series.
const SERIES_BUDGET: usize = 5000;
/// Labels that every series has.
const LABELS: [&str; 5] = [
    "service_name",
    "span_name",
    "span_kind",
    "status_code",
    "le",
];

impl Default for Config {
    fn default() -> Self {
        Self {
            dimensions: Vec::new(),
            buckets: BUCKETS.map(Duration::from_millis).into(),
            series_budget: SERIES_BUDGET,
            exemplars: true,
        }
    }
}

impl Config {
    /// Reads the section; `None` if spans are not to be counted.
    pub fn read(section: &mut Section<'_>) -> Option<Self> {
        let usual = Self::default();
        let enabled = section.or("enabled", false);
        let mut config = Self {
            dimensions: section.list("dimensions"),
            buckets: section.list("buckets"),
            series_budget: section.or("series_budget", usual.series_budget),
            exemplars: section.or("exemplars", usual.exemplars),
        };
        if config.buckets.is_empty() {
            config.buckets = usual.buckets;
        }
        if config.series_budget == 0 {
            section.mistake("series_budget", "must be at least 1");
        }
        let rising = config.buckets.is_sorted_by(|a, b| a < b) && !config.buckets[0].is_zero();
        if !rising {
            section.mistake("buckets", "must be more than 0s and in ascending order");
        }
        if config.buckets.len() > MOST_BUCKETS {
            section.mistake("buckets", format!("must be at most {MOST_BUCKETS}"));
        }
        if config.dimensions.len() > MOST_DIMENSIONS {
            section.mistake("dimensions", format!("must be at most {MOST_DIMENSIONS}"));
        }
        if let Some(twice) = config.label_twice() {
            section.mistake("dimensions", format!("two labels would be `{twice}`"));
        }
        enabled.then_some(config)
    }

    /// The labels of the dimensions.
    pub(super) fn labels(&self) -> Vec<String> {
        let names = self.dimensions.iter();
        names.map(|name| naming::label(name)).collect()
    }

    fn label_twice(&self) -> Option<String> {
        let labels = self.labels();
        let before = |place: usize| {
            LABELS
                .into_iter()
                .chain(labels[..place].iter().map(String::as_str))
        };
        let mut places = labels.iter().enumerate();
        let found = places.find(|(place, label)| before(*place).any(|own| own == *label));
        found.map(|(_, label)| label.clone())
    }
}
