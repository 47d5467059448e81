//! A family in the Prometheus text format, version 0.0.4.

use std::fmt::Write as _;

use weir_point::otlp::metrics::Number;

use super::{Family, Store};
use crate::otlp_metrics::{
    histogram::{Histogram, Shared},
    number::{push_float, push_number},
    series::Series,
    summary::Summary,
};

impl Family {
    /// Append the metric with all its series; nothing if it has none.
    pub(in super::super) fn render(&self, out: &mut String) {
        if self.is_empty() {
            return;
        }
        self.header(out);
        match &self.store {
            Store::Numbers(series) => self.numbers(series, out),
            Store::Histograms(series, shared) => self.histograms(series, shared, out),
            Store::Summaries(series) => self.summaries(series, out),
        }
    }

    fn header(&self, out: &mut String) {
        let Self { name, .. } = self;
        out.push_str("# HELP ");
        out.push_str(name);
        out.push(' ');
        if self.description.is_empty() {
            out.push_str("Received over OTLP as ");
            push_help(&self.original, out);
            out.push('.');
        } else {
            push_help(&self.description, out);
        }
        writeln!(out, "\n# TYPE {name} {}", self.kind.word()).expect("a String takes everything");
    }

    fn numbers(&self, series: &Series<Number>, out: &mut String) {
        // Growing a text of megabytes would copy it again and again.
        let sample = series.iter().next().map_or(0, |(labels, _)| labels.len());
        out.reserve((sample + self.name.len() + 24) * series.len());
        for (labels, value) in series.iter() {
            sample_start(&self.name, "", labels, out);
            push_number(*value, out);
            out.push('\n');
        }
    }

    fn histograms(&self, series: &Series<Histogram>, shared: &Shared, out: &mut String) {
        for (labels, histogram) in series.iter() {
            let (count, sum) = histogram.totals();
            histogram.cumulate(shared, |bound, values| {
                self.part("_bucket", labels, ("le", bound), out);
                writeln!(out, "{values}").expect("a String takes everything");
            });
            self.part("_bucket", labels, ("le", "+Inf"), out);
            writeln!(out, "{count}").expect("a String takes everything");
            if let Some(sum) = sum {
                sample_start(&self.name, "_sum", labels, out);
                push_float(sum, out);
                out.push('\n');
            }
            sample_start(&self.name, "_count", labels, out);
            writeln!(out, "{count}").expect("a String takes everything");
        }
    }

    fn summaries(&self, series: &Series<Summary>, out: &mut String) {
        let mut at_text = String::new();
        for (labels, summary) in series.iter() {
            for (at, value) in &summary.quantiles {
                at_text.clear();
                push_float(*at, &mut at_text);
                self.part("", labels, ("quantile", &at_text), out);
                push_float(*value, out);
                out.push('\n');
            }
            sample_start(&self.name, "_sum", labels, out);
            push_float(summary.sum, out);
            out.push('\n');
            sample_start(&self.name, "_count", labels, out);
            writeln!(out, "{}", summary.count).expect("a String takes everything");
        }
    }

    /// Append a sample up to its value, with one label more.
    fn part(&self, suffix: &str, labels: &str, (own, value): (&str, &str), out: &mut String) {
        let comma = if labels.is_empty() { "" } else { "," };
        for part in [
            &self.name, suffix, "{", labels, comma, own, "=\"", value, "\"} ",
        ] {
            out.push_str(part);
        }
    }
}

fn sample_start(name: &str, suffix: &str, labels: &str, out: &mut String) {
    out.push_str(name);
    out.push_str(suffix);
    if labels.is_empty() {
        out.push(' ');
    } else {
        out.push('{');
        out.push_str(labels);
        out.push_str("} ");
    }
}

fn push_help(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}
