//! Histograms as Prometheus has them: how many values up to each bound.

mod exponential;

use std::sync::Arc;

use weir_point::otlp::metrics::{ExponentialPoint, HistogramPoint};

pub(super) use self::exponential::{COARSEST, Exponents};
use self::exponential::{Exponential, exponent_of};
use super::{
    Cause,
    series::{Shape, Value},
};
use crate::page::Native;

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
    Exponential(Box<Exponential>),
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

    /// Reads an exponential histogram.
    pub(super) fn exponential(
        point: &ExponentialPoint<'_>,
        shared: &mut Shared,
    ) -> Result<Self, Cause> {
        let buckets = Exponential::read(point).ok_or(Cause::Malformed)?;
        let count = buckets.count();
        shared.exponents.include(&buckets);
        Self::of(count, point.sum, Buckets::Exponential(Box::new(buckets)))
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

    /// Appends every bound and the number of values up to it, without the last one, which is
    /// infinite.
    pub(super) fn cumulate(&self, shared: &Shared, out: &mut Vec<(f64, u64)>) {
        match &self.buckets {
            Buckets::Explicit { bounds, counts } => {
                let mut sum = 0_u64;
                for (bound, count) in bounds.iter().zip(counts) {
                    sum = sum.saturating_add(*count);
                    out.push((*bound, sum));
                }
            }
            Buckets::Exponential(buckets) => {
                let each = |bound, sum| out.push((bound, sum));
                shared.exponents.cumulate(buckets, each);
            }
        }
    }

    /// The buckets as those of a native histogram, if they are.
    pub(super) fn native(&self) -> Option<Native<'_>> {
        match &self.buckets {
            Buckets::Explicit { .. } => None,
            Buckets::Exponential(buckets) => buckets.native(),
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
}

impl Value for Histogram {
    fn replace(&mut self, other: &Self) -> Shape {
        let same = match (&self.buckets, &other.buckets) {
            (Buckets::Explicit { bounds, .. }, Buckets::Explicit { bounds: own, .. }) => {
                Arc::ptr_eq(bounds, own) || bounds == own
            }
            (Buckets::Exponential(_), Buckets::Exponential(_)) => true,
            _ => false,
        };
        self.clone_from(other);
        if same { Shape::Kept } else { Shape::Other }
    }

    fn add(&mut self, delta: &Self) -> Shape {
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
            (Buckets::Exponential(own), Buckets::Exponential(more)) => own.add(more),
            // With other bounds it is another histogram.
            _ => return self.replace(delta),
        }
        self.count = self.count.saturating_add(delta.count);
        self.sum = self.sum.zip(delta.sum).map(|(sum, more)| sum + more);
        Shape::Kept
    }

    /// Cumulative histograms are not folded.
    fn since(&self, _before: &Self) -> Self {
        self.clone()
    }

    fn bucket(&self, measured: f64) -> i32 {
        match &self.buckets {
            Buckets::Explicit { bounds, .. } => {
                i32::try_from(bounds.partition_point(|bound| *bound < measured)).unwrap_or(0)
            }
            Buckets::Exponential(_) => exponent_of(measured),
        }
    }
}
