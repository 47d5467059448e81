//! Histograms as Prometheus has them: how many values up to each bound.

mod exponential;

use std::sync::Arc;

use weir_point::otlp::metrics::{ExponentialPoint, HistogramPoint};

pub(super) use self::exponential::Exponents;
use super::{Cause, number::push_float, series::Value};

/// More buckets than any client makes on purpose.
const MOST_BUCKETS: usize = 512;

/// The values of one series.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    buckets: Buckets,
    count: u64,
    sum: Option<f64>,
}

#[derive(Debug, Clone)]
enum Buckets {
    /// One count per bound and one for what is above; the bounds are shared by all series that
    /// have the same.
    Explicit {
        bounds: Arc<[f64]>,
        counts: Vec<u64>,
    },
    /// Zero and below, then one count per power of two.
    Exponential {
        below: u64,
        first: i32,
        counts: Vec<u64>,
    },
}

/// What the series of one metric have in common.
#[derive(Debug, Default)]
pub(super) struct Shared {
    bounds: Option<Arc<[f64]>>,
    exponents: Exponents,
}

impl Histogram {
    /// Reads a histogram with bounds of its own.
    pub(super) fn explicit(point: &HistogramPoint<'_>, shared: &mut Shared) -> Result<Self, Cause> {
        let bounds = shared.bounds(point)?;
        let mut counts: Vec<u64> = point.counts().take(MOST_BUCKETS + 2).collect();
        if counts.is_empty() && bounds.is_empty() {
            counts.push(point.count);
        }
        if counts.len() != bounds.len() + 1 {
            return Err(Cause::Malformed);
        }
        Self::of(
            counts
                .iter()
                .fold(0, |sum, count| sum.saturating_add(*count)),
            point.sum,
            Buckets::Explicit { bounds, counts },
        )
    }

    /// Reads an exponential histogram, into buckets by powers of two.
    pub(super) fn exponential(
        point: &ExponentialPoint<'_>,
        shared: &mut Shared,
    ) -> Result<Self, Cause> {
        let (below, first, counts, count) = exponential::convert(point);
        let buckets = Buckets::Exponential {
            below,
            first,
            counts,
        };
        let histogram = Self::of(count, point.sum, buckets)?;
        shared.include(&histogram);
        Ok(histogram)
    }

    fn of(count: u64, sum: Option<f64>, buckets: Buckets) -> Result<Self, Cause> {
        if sum.is_some_and(|sum| !sum.is_finite()) {
            // It would stay in the sum for good.
            return Err(Cause::Malformed);
        }
        Ok(Self {
            buckets,
            count,
            sum,
        })
    }

    /// The values, and their sum where it is known.
    pub(super) const fn totals(&self) -> (u64, Option<f64>) {
        (self.count, self.sum)
    }

    /// Calls `each` with every bound as text and the number of values up to it, without the last
    /// one, which is infinite.
    pub(super) fn cumulate(&self, shared: &Shared, mut each: impl FnMut(&str, u64)) {
        let mut bound_text = String::new();
        let mut each = |bound: f64, sum: u64| {
            bound_text.clear();
            push_float(bound, &mut bound_text);
            each(&bound_text, sum);
        };
        match &self.buckets {
            Buckets::Explicit { bounds, counts } => {
                let mut sum = 0_u64;
                for (bound, count) in bounds.iter().zip(counts) {
                    sum = sum.saturating_add(*count);
                    each(*bound, sum);
                }
            }
            Buckets::Exponential {
                below,
                first,
                counts,
            } => shared.exponents.cumulate(*below, *first, counts, each),
        }
    }
}

impl Shared {
    /// The bounds of `point`, shared with the series before if they are the same.
    fn bounds(&mut self, point: &HistogramPoint<'_>) -> Result<Arc<[f64]>, Cause> {
        if let Some(bounds) = &self.bounds
            && point.bounds().eq(bounds.iter().copied())
        {
            return Ok(Arc::clone(bounds));
        }
        let bounds: Arc<[f64]> = point.bounds().take(MOST_BUCKETS + 1).collect();
        if bounds.len() > MOST_BUCKETS {
            return Err(Cause::TooLarge);
        }
        let finite = bounds.iter().all(|bound| bound.is_finite());
        if !finite || !bounds.is_sorted_by(|a, b| a < b) {
            return Err(Cause::Malformed);
        }
        self.bounds = Some(Arc::clone(&bounds));
        Ok(bounds)
    }

    fn include(&mut self, histogram: &Histogram) {
        if let Buckets::Exponential {
            below,
            first,
            counts,
        } = &histogram.buckets
        {
            self.exponents.include(*below, *first, counts.len());
        }
    }
}

impl Value for Histogram {
    fn replace(&mut self, other: &Self) {
        self.clone_from(other);
    }

    fn add(&mut self, delta: &Self) {
        match (&mut self.buckets, &delta.buckets) {
            (
                Buckets::Explicit { bounds, counts },
                Buckets::Explicit {
                    bounds: own,
                    counts: more,
                },
            ) if bounds == own => {
                for (count, more) in counts.iter_mut().zip(more) {
                    *count = count.saturating_add(*more);
                }
            }
            (
                Buckets::Exponential {
                    below,
                    first,
                    counts,
                },
                Buckets::Exponential {
                    below: more_below,
                    first: more_first,
                    counts: more,
                },
            ) => {
                *below = below.saturating_add(*more_below);
                exponential::add(first, counts, *more_first, more);
            }
            // With other bounds it is another histogram.
            _ => return self.replace(delta),
        }
        self.count = self.count.saturating_add(delta.count);
        self.sum = self.sum.zip(delta.sum).map(|(sum, more)| sum + more);
    }

    /// Cumulative histograms are not folded.
    fn since(&self, _before: &Self) -> Self {
        self.clone()
    }
}
