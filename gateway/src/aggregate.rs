//! Folding Points into series: the label text that identifies a series and the row
//! of numbers behind it. The Prometheus and the OTLP output share both.

mod histogram;

use weir_point::Point;

pub(crate) use self::histogram::Buckets;
use self::histogram::Histograms;
use crate::profile::{Attribute, Combine, DataSet, Gauge, Group, naming};

/// The label value of the series that takes what is over the budget.
pub(crate) const OTHER: &str = "~other";

/// Writes the labels of one group's series.
#[derive(Debug)]
pub(crate) struct Labels {
    labels: Vec<(&'static Attribute, String)>,
}

impl Labels {
    /// The labels of the series of `group` in `set`.
    pub(crate) fn new(set: &'static DataSet, group: &'static Group) -> Self {
        Self {
            labels: set
                .attributes_of(group)
                .map(|attribute| (attribute, naming::label(attribute.name)))
                .collect(),
        }
    }

    /// Append the labels of `point` to `out`, as they stand between the braces of the
    /// Prometheus text format. The same labels are always the same text.
    pub(crate) fn write(&self, point: &Point, out: &mut String) {
        let mut separator = "";
        for (attribute, name) in &self.labels {
            if let Some(value) = attribute.of_series(point) {
                out.push_str(separator);
                push_label(name, &value, out);
                separator = ",";
            }
        }
    }

    /// The tags, in the order of their labels, and what the labels are called.
    pub(crate) fn tags(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let labels = self.labels.iter();
        labels.map(|(attribute, name)| (attribute.tag, name.as_str()))
    }

    /// The labels of the series that takes what is over the budget.
    pub(crate) fn other(&self) -> String {
        let mut out = String::new();
        for (_, name) in &self.labels {
            if !out.is_empty() {
                out.push(',');
            }
            push_label(name, OTHER, &mut out);
        }
        out
    }
}

/// Append `name="value"`, escaped as the Prometheus text format asks.
pub(crate) fn push_label(name: &str, value: &str, out: &mut String) {
    out.push_str(name);
    out.push_str("=\"");
    push_escaped(value, out);
    out.push('"');
}

fn push_escaped(value: &str, out: &mut String) {
    let special = |byte: &u8| matches!(byte, b'\\' | b'"' | b'\n');
    // Looking at every byte without stopping early is many at a time.
    if !value
        .bytes()
        .fold(false, |found, byte| found | special(&byte))
    {
        out.push_str(value);
        return;
    }
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

/// The numbers of one series of each metric in a group.
#[derive(Debug)]
pub(crate) struct Row {
    /// The moment of the gauges: a different one replaces them.
    time: u64,
    /// Which counters were ever given, one bit each.
    counted: u32,
    /// Which gauges were ever given, one bit each.
    gauged: u32,
    /// Which gauges were given at `time`, one bit each.
    fresh: u32,
    counts: Box<[u64]>,
    gauges: Box<[Measured]>,
    histograms: Histograms,
}

#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    value: f64,
    weight: f64,
}

impl Row {
    /// A row without numbers.
    pub(crate) fn new(group: &Group) -> Self {
        Self {
            time: 0,
            counted: 0,
            gauged: 0,
            fresh: 0,
            counts: vec![0; group.counters.len()].into(),
            gauges: vec![Measured::default(); group.gauges.len()].into(),
            histograms: Histograms::new(group.histograms),
        }
    }

    /// Take in all numbers of `point`.
    ///
    /// Counters and histograms add. A gauge keeps the numbers of the latest moment: Points of one
    /// moment combine, a Point of another replaces them. The other one need not be
    /// later, so that a clock that was set back does not freeze the gauges.
    pub(crate) fn add(&mut self, group: &Group, point: &Point) {
        self.add_counts(group, point);
        if self.time != point.time {
            self.time = point.time;
            self.fresh = 0;
        }
        for (index, gauge) in group.gauges.iter().enumerate() {
            if let Some(value) = field(point, gauge.field) {
                self.measure(index, gauge, value, point);
            }
        }
    }

    /// Take in the counters and histograms of `point` and leave its gauges, which mean nothing on a
    /// series that mixes label sets. Returns how many gauges were left.
    pub(crate) fn add_counts_only(&mut self, group: &Group, point: &Point) -> u64 {
        self.add_counts(group, point);
        let left = group
            .gauges
            .iter()
            .filter(|gauge| field(point, gauge.field).is_some());
        left.count() as u64
    }

    fn add_counts(&mut self, group: &Group, point: &Point) {
        for (index, counter) in group.counters.iter().enumerate() {
            let value = point.fields.get(counter.field);
            if let Some(count) = value.and_then(weir_point::Value::as_count) {
                self.counts[index] = self.counts[index].saturating_add(count);
                self.counted |= 1 << index;
            }
        }
        self.histograms.take(group.histograms, point);
    }

    fn measure(&mut self, index: usize, gauge: &Gauge, value: f64, point: &Point) {
        let weight = match gauge.combine {
            Combine::Mean(fields) => weight(point, fields),
            Combine::Sum | Combine::Max => 0.0,
        };
        let bit = 1 << index;
        let cell = &mut self.gauges[index];
        if self.fresh & bit == 0 {
            *cell = Measured { value, weight };
        } else {
            match gauge.combine {
                Combine::Sum => cell.value += value,
                Combine::Max => cell.value = cell.value.max(value),
                Combine::Mean(_) => {
                    let total = cell.weight + weight;
                    cell.value += (value - cell.value) * (weight / total);
                    cell.weight = total;
                }
            }
        }
        self.fresh |= bit;
        self.gauged |= bit;
    }

    /// How many gauges were ever given.
    pub(crate) fn gauges(&self) -> u64 {
        self.gauged.count_ones().into()
    }

    /// Have these counters and histograms instead.
    pub(crate) fn show(&mut self, totals: &Totals) {
        self.counted = totals.counted;
        self.counts.clone_from(&totals.counts);
        self.histograms.clone_from(&totals.histograms);
    }

    /// The sum of the counter at `index`, if it was ever given.
    pub(crate) fn count(&self, index: usize) -> Option<u64> {
        (self.counted & (1 << index) != 0).then(|| self.counts[index])
    }

    /// The histogram at `index`, if it ever had a value.
    pub(crate) fn histogram(&self, index: usize) -> Option<&Buckets> {
        self.histograms.get(index)
    }

    /// The value of the gauge at `index` in the metric's unit, if it was ever given.
    pub(crate) fn gauge(&self, index: usize, gauge: &Gauge) -> Option<f64> {
        (self.gauged & (1 << index) != 0).then(|| self.gauges[index].value / gauge.divisor)
    }
}

/// The counters and histograms of many rows of one series, added up.
#[derive(Debug)]
pub(crate) struct Totals {
    counted: u32,
    counts: Box<[u64]>,
    histograms: Histograms,
}

impl Totals {
    /// Nothing yet.
    pub(crate) fn new(group: &Group) -> Self {
        Self {
            counted: 0,
            counts: vec![0; group.counters.len()].into(),
            histograms: Histograms::new(group.histograms),
        }
    }

    /// Add the counters and histograms of `row`.
    pub(crate) fn add(&mut self, row: &Row) {
        self.counted |= row.counted;
        for (total, count) in self.counts.iter_mut().zip(&row.counts) {
            *total = total.saturating_add(*count);
        }
        self.histograms.add(&row.histograms);
    }
}

/// At least 1, so that a Point without traffic still has a say.
fn weight(point: &Point, fields: &[&str]) -> f64 {
    fields
        .iter()
        .filter_map(|name| field(point, name))
        .sum::<f64>()
        .max(1.0)
}

fn field(point: &Point, name: &str) -> Option<f64> {
    point.fields.get(name)?.as_f64()
}

#[cfg(test)]
mod tests;
