//! Summaries: quantiles that a client has computed.

use weir_point::otlp::metrics::SummaryPoint;

use super::{
    Cause,
    series::{Shape, Value},
};

/// More quantiles than any client makes on purpose.
const MOST_QUANTILES: usize = 100;

/// The values of one series.
#[derive(Debug, Clone)]
pub(super) struct Summary {
    /// In order, each once.
    pub(super) quantiles: Vec<(f64, f64)>,
    pub(super) count: u64,
    pub(super) sum: f64,
}

impl Summary {
    pub(super) fn read(point: &SummaryPoint<'_>) -> Result<Self, Cause> {
        let mut quantiles: Vec<_> = point.quantiles().take(MOST_QUANTILES + 1).collect();
        if quantiles.len() > MOST_QUANTILES {
            return Err(Cause::TooLarge);
        }
        if quantiles.iter().any(|(at, _)| !(0.0..=1.0).contains(at)) {
            return Err(Cause::Malformed);
        }
        // Minus zero is zero.
        quantiles.iter_mut().for_each(|(at, _)| *at = at.abs());
        quantiles.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        quantiles.dedup_by(|(a, _), (b, _)| a == b);
        Ok(Self {
            quantiles,
            count: point.count,
            sum: point.sum,
        })
    }
}

impl Value for Summary {
    fn replace(&mut self, other: &Self) -> Shape {
        self.clone_from(other);
        Shape::Kept
    }

    /// Quantiles do not add up; summaries are always replaced.
    fn add(&mut self, delta: &Self) -> Shape {
        self.replace(delta)
    }

    fn since(&self, _before: &Self) -> Self {
        self.clone()
    }
}
