//! Values counted by size, as Points have them and as they add up.

use weir_point::{Point, Value};

use crate::profile::Histogram;

/// Values in buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Buckets {
    /// One per bound, and one for what is above.
    counts: Box<[u64]>,
    sum: u64,
    max: u64,
}

impl Buckets {
    /// No values.
    fn new(buckets: usize) -> Self {
        Self {
            counts: vec![0; buckets].into(),
            sum: 0,
            max: 0,
        }
    }

    /// How many values are in each bucket.
    pub(crate) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// All values.
    pub(crate) fn count(&self) -> u64 {
        let add = |sum: u64, count: &u64| sum.saturating_add(*count);
        self.counts.iter().fold(0, add)
    }

    /// Their sum, in units of the fields.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// The largest, in units of the fields.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// Write every bound of `histogram` in its unit and how many values are up to it.
    pub(crate) fn cumulate(&self, histogram: &Histogram, out: &mut Vec<(f64, u64)>) {
        out.clear();
        let mut sum = 0_u64;
        out.extend(
            histogram
                .bounds
                .iter()
                .zip(&self.counts)
                .map(|(bound, count)| {
                    sum = sum.saturating_add(*count);
                    (histogram.scaled(*bound), sum)
                }),
        );
    }

    fn add(&mut self, counts: impl Iterator<Item = u64>, sum: u64, max: u64) {
        for (own, more) in self.counts.iter_mut().zip(counts) {
            *own = own.saturating_add(more);
        }
        self.sum = self.sum.saturating_add(sum);
        self.max = self.max.max(max);
    }
}

/// The histograms of one series each; `None` where nothing ever came.
#[derive(Debug, Clone)]
pub(crate) struct Histograms(Box<[Option<Box<Buckets>>]>);

impl Histograms {
    /// No values for any of them.
    pub(super) fn new(histograms: &[Histogram]) -> Self {
        Self(histograms.iter().map(|_| None).collect())
    }

    /// The one at `index`, if it ever had a value.
    pub(super) fn get(&self, index: usize) -> Option<&Buckets> {
        self.0.get(index)?.as_deref()
    }

    /// Take in the values of `point`.
    pub(super) fn take(&mut self, histograms: &[Histogram], point: &Point) {
        for (own, histogram) in self.0.iter_mut().zip(histograms) {
            let Some((counts, sum, max)) = read(histogram, point) else {
                continue;
            };
            let counts = counts.iter().filter_map(Value::as_count);
            own.get_or_insert_with(|| Box::new(Buckets::new(histogram.bounds.len() + 1)))
                .add(counts, sum, max);
        }
    }

    /// Take in the values of `other`, which are of the same histograms.
    pub(super) fn add(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            match (own, other) {
                (_, None) => {}
                (Some(own), Some(other)) => {
                    own.add(other.counts.iter().copied(), other.sum, other.max);
                }
                (own @ None, Some(other)) => *own = Some(other.clone()),
            }
        }
    }
}

/// The values of `histogram` in `point`, if it has all that belongs to them: a script may have left a part.
fn read<'a>(histogram: &Histogram, point: &'a Point) -> Option<(&'a [Value], u64, u64)> {
    let Value::List(counts) = point.fields.get(histogram.buckets)? else {
        return None;
    };
    let is_whole = counts.len() == histogram.bounds.len() + 1
        && counts.iter().all(|count| count.as_count().is_some());
    let sum = point.fields.get(histogram.sum)?.as_count()?;
    let max = point.fields.get(histogram.max)?.as_count()?;
    (is_whole && histogram.takes(point)).then_some((counts, sum, max))
}
