//! A family on the page.

use weir_point::otlp::metrics::Number;

use super::{Family, Store};
use crate::{
    otlp_metrics::{
        histogram::{Histogram, Shared},
        number::shown,
        series::Series,
    },
    page::{self, Head, Labels, Page},
};

impl Family {
    /// Its name in the text format.
    pub(in super::super) fn name(&self) -> &str {
        &self.name
    }

    /// Write the metric with all its series; nothing if it has none.
    pub(in super::super) fn render(&self, crowded: bool, page: &mut Page) {
        if self.is_empty() {
            return;
        }
        self.header(crowded, page);
        self.series(page);
    }

    /// Write all series.
    pub(in super::super) fn series(&self, page: &mut Page) {
        match &self.store {
            Store::Numbers(series) => self.numbers(series, page),
            Store::Histograms(series, shared) => histograms(series, shared, page),
            Store::Summaries(series) => {
                for (labels, summary, origin) in series.iter() {
                    let summary = page::Summary {
                        count: summary.count,
                        sum: summary.sum,
                        quantiles: &summary.quantiles,
                    };
                    page.summary(Labels(labels, ""), &summary, origin);
                }
            }
        }
    }

    fn header(&self, crowded: bool, page: &mut Page) {
        let unnamed;
        let help = if self.description.is_empty() {
            unnamed = format!("Received over OTLP as {}.", self.original);
            &unnamed
        } else {
            &self.description
        };
        page.family(&Head {
            name: &self.name,
            kind: self.kind.shown(),
            help,
            unit: &self.unit,
            crowded,
        });
    }

    fn numbers(&self, series: &Series<Number>, page: &mut Page) {
        let sample = series.iter().next().map_or(0, |(labels, ..)| labels.len());
        page.reserve((sample + self.name.len() + 24) * series.len());
        for (labels, value, origin) in series.iter() {
            page.number(Labels(labels, ""), shown(*value), origin);
        }
    }
}

fn histograms(series: &Series<Histogram>, shared: &Shared, page: &mut Page) {
    let mut buckets = Vec::new();
    for (labels, histogram, origin) in series.iter() {
        buckets.clear();
        histogram.cumulate(shared, &mut buckets);
        let (count, sum) = histogram.totals();
        let histogram = page::Histogram {
            count,
            sum,
            buckets: &buckets,
            native: histogram.native(),
        };
        page.histogram(Labels(labels, ""), &histogram, origin);
    }
}
