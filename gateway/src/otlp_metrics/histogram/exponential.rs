//! Exponential buckets: kept as they came, so far as Prometheus has buckets as fine, and shown
//! as native ones or as classic ones. The bounds of the classic ones are the powers of two,
//! because the bounds of every scale from 0 up are among those of the finer ones: no value
//! changes sides.

use weir_point::otlp::metrics::{self, ExponentialPoint};

use crate::page::Native;

/// The finest buckets of Prometheus, and the coarsest.
const FINEST: i32 = 8;
pub(in super::super) const COARSEST: i32 = -4;
/// Twice of what clients make by themselves. With more, buckets are merged.
const MOST_BUCKETS: i64 = 320;
/// Beyond this no float has a logarithm to the base 2.
const FURTHEST: i64 = 1100;
/// Here all floats above zero are in two buckets already.
const ROUGHEST: i32 = -12;
/// What Prometheus is told of histograms without a threshold: all numbers but zero are above. It
/// would take one with none at all and no values for a classic one.
const LEAST_THRESHOLD: f64 = 1e-128;

/// From 5e-20 to 2e19: below a nanosecond in seconds, above an exabyte in bytes.
const LOWEST: i64 = -64;
const HIGHEST: i64 = 64;

/// A histogram with exponential buckets.
#[derive(Debug, Clone)]
pub(in super::super) struct Exponential {
    scale: i32,
    zero_threshold: f64,
    zero_count: u64,
    positive: Side,
    negative: Side,
}

/// The buckets on one side of zero, without empty ones at the ends. Bucket `i` ends with
/// `2^((i + 1) * 2^-scale)`, as in OTLP.
#[derive(Debug, Clone, Default, PartialEq)]
struct Side {
    first: i64,
    counts: Vec<u64>,
}

impl Exponential {
    /// Reads a point; `None` if its threshold is no threshold.
    pub(super) fn read(point: &ExponentialPoint<'_>) -> Option<Self> {
        let zero_threshold = point.zero_threshold;
        if !zero_threshold.is_finite() || zero_threshold < 0.0 {
            return None;
        }
        let sides = [point.positive(), point.negative()];
        let from = point.scale.max(ROUGHEST);
        let ranges = sides.each_ref().map(|side| range(side, from));
        let mut scale = from.min(FINEST);
        while !ranges.iter().all(|range| fits(*range, from, scale)) {
            scale -= 1;
        }
        let [positive, negative] = [0, 1].map(|side| {
            let counts = numbered(&sides[side], from);
            Side::of(ranges[side], from.saturating_sub(scale), counts)
        });
        Some(Self {
            scale,
            zero_threshold,
            zero_count: point.zero_count,
            positive,
            negative,
        })
    }

    /// All values.
    pub(super) fn count(&self) -> u64 {
        self.below().saturating_add(self.positive.count())
    }

    /// Zero and what is less.
    fn below(&self) -> u64 {
        self.zero_count.saturating_add(self.negative.count())
    }

    /// Take in other values. The result is as fine as the coarser of the two, and its threshold
    /// is the higher one.
    pub(super) fn add(&mut self, other: &Self) {
        if self.zero_threshold != other.zero_threshold {
            let mut other = other.clone();
            let mut threshold = 0.0;
            while self.zero_threshold != threshold || other.zero_threshold != threshold {
                threshold = self.zero_threshold.max(other.zero_threshold);
                self.widen_zero(threshold);
                other.widen_zero(threshold);
            }
            return self.add_equal(&other);
        }
        self.add_equal(other);
    }

    /// Take in values with the same threshold.
    fn add_equal(&mut self, other: &Self) {
        let mut scale = self.scale.min(other.scale);
        let union = |scale: i32, own: &Side, more: &Side| {
            let own = own.range(self.scale - scale);
            union(own, more.range(other.scale - scale))
        };
        while !fits(union(scale, &self.positive, &other.positive), scale, scale)
            || !fits(union(scale, &self.negative, &other.negative), scale, scale)
        {
            scale -= 1;
        }
        let (own, more) = (self.scale - scale, other.scale - scale);
        self.positive.merge(own, &other.positive, more);
        self.negative.merge(own, &other.negative, more);
        self.zero_count = self.zero_count.saturating_add(other.zero_count);
        self.scale = scale;
    }

    /// What is up to `threshold` away from zero counts as zero; a bucket that only begins there
    /// takes the threshold with it.
    fn widen_zero(&mut self, threshold: f64) {
        self.zero_threshold = threshold;
        let scale = self.scale;
        let bound = |index: i64| (index as f64 * 2_f64.powi(-scale)).exp2();
        for side in [&mut self.positive, &mut self.negative] {
            let (mut inside, mut end) = (0, self.zero_threshold);
            for (index, count) in side.counts.iter().enumerate() {
                let at = side.first + index as i64;
                if bound(at) >= end {
                    break;
                }
                inside = index + 1;
                if *count > 0 {
                    end = end.max(bound(at + 1));
                }
            }
            let moved = side.counts.drain(..inside).fold(0, u64::saturating_add);
            self.zero_count = self.zero_count.saturating_add(moved);
            self.zero_threshold = end;
            side.first += inside as i64;
            side.trim();
        }
    }

    /// As Prometheus has it; `None` if it is too coarse.
    pub(super) fn native(&self) -> Option<Native<'_>> {
        // Buckets are numbered by their ends.
        let side = |side: &Side| i32::try_from(side.first + 1).ok();
        let (positive, negative) = (side(&self.positive)?, side(&self.negative)?);
        (self.scale >= COARSEST).then_some(Native {
            schema: self.scale,
            zero_threshold: match self.zero_threshold {
                0.0 => LEAST_THRESHOLD,
                threshold => threshold,
            },
            zero_count: self.zero_count,
            positive: (positive, &self.positive.counts),
            negative: (negative, &self.negative.counts),
        })
    }
}

/// The exponent of the least power of two that a value is not above.
pub(super) fn exponent_of(value: f64) -> i32 {
    if value <= 0.0 {
        return i32::MIN;
    }
    let exponent = value.log2().ceil() as i64;
    exponent.clamp(LOWEST, HIGHEST + 1) as i32
}

impl Side {
    /// Bucket numbers and counts, where `range` is known to fit.
    fn of(range: Option<(i64, i64)>, shift: i32, counts: impl Iterator<Item = (i64, u64)>) -> Self {
        let Some((first, last)) = range.map(|range| coarser(range, shift)) else {
            return Self::default();
        };
        let mut side = Self {
            first,
            counts: vec![0; usize::try_from(last - first + 1).unwrap_or(0)],
        };
        side.put(shift, counts);
        side
    }

    fn put(&mut self, shift: i32, counts: impl Iterator<Item = (i64, u64)>) {
        for (index, values) in counts.filter(|(_, values)| *values > 0) {
            let place = usize::try_from(reduce(index, shift) - self.first);
            if let Some(count) = place.ok().and_then(|place| self.counts.get_mut(place)) {
                *count = count.saturating_add(values);
            }
        }
    }

    fn numbered(&self) -> impl Iterator<Item = (i64, u64)> + use<'_> {
        (self.first..).zip(self.counts.iter().copied())
    }

    fn range(&self, shift: i32) -> Option<(i64, i64)> {
        let last = self.first + self.counts.len() as i64 - 1;
        (!self.counts.is_empty()).then(|| coarser((self.first, last), shift))
    }

    fn merge(&mut self, shift: i32, more: &Self, more_shift: i32) {
        let (own, others) = (self.range(shift), more.range(more_shift));
        if shift == 0 && union(own, others) == own {
            return self.put(more_shift, more.numbered());
        }
        let mut merged = Self::of(union(own, others), 0, std::iter::empty());
        merged.put(shift, self.numbered());
        merged.put(more_shift, more.numbered());
        *self = merged;
    }

    fn trim(&mut self) {
        let used = |count: &u64| *count > 0;
        let first = self.counts.iter().position(used).unwrap_or(0);
        let end = self
            .counts
            .iter()
            .rposition(used)
            .map_or(0, |last| last + 1);
        self.counts.truncate(end);
        self.counts.drain(..first.min(end));
        self.first += first as i64;
    }

    fn count(&self) -> u64 {
        self.counts.iter().copied().fold(0, u64::saturating_add)
    }
}

/// The bucket in which bucket `index` is when there are `2^shift` in one.
fn reduce(index: i64, shift: i32) -> i64 {
    // Rounds down below zero, too.
    index >> shift.clamp(0, 62)
}

fn coarser((first, last): (i64, i64), shift: i32) -> (i64, i64) {
    (reduce(first, shift), reduce(last, shift))
}

fn union(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

/// Whether a range of buckets of scale `from` is short enough at the scale `to`.
fn fits(range: Option<(i64, i64)>, from: i32, to: i32) -> bool {
    range.is_none_or(|range| {
        let (first, last) = coarser(range, from.saturating_sub(to));
        last - first < MOST_BUCKETS
    })
}

/// The buckets of a point with their numbers. Numbers that no float can be in are brought near.
fn numbered(side: &metrics::Buckets<'_>, scale: i32) -> impl Iterator<Item = (i64, u64)> {
    let furthest = match scale {
        0.. => FURTHEST << scale.min(40),
        _ => (FURTHEST >> scale.unsigned_abs().min(62)) + 1,
    };
    let numbers = (i64::from(side.offset)..).map(move |index| index.clamp(-furthest, furthest));
    numbers.zip(side.counts())
}

/// The numbers of the first and the last bucket that are not empty.
fn range(side: &metrics::Buckets<'_>, scale: i32) -> Option<(i64, i64)> {
    let used = numbered(side, scale).filter(|(_, count)| *count > 0);
    used.fold(None, |range, (index, _)| union(range, Some((index, index))))
}

/// The powers of two that a metric needs. All its series show all of them: sums over series with
/// different bounds would be wrong. They only become more.
#[derive(Debug, Default)]
pub(in super::super) struct Exponents {
    zero: bool,
    range: Option<(i64, i64)>,
}

impl Exponents {
    pub(super) fn include(&mut self, histogram: &Exponential) {
        self.zero |= histogram.below() > 0;
        let range = histogram.positive.range(0);
        let range = range.map(|(first, last)| {
            let exponent = |index| upper(index, histogram.scale);
            (
                exponent(first).max(LOWEST),
                exponent(last).clamp(LOWEST, HIGHEST),
            )
        });
        self.range = union(self.range, range.filter(|(first, _)| *first <= HIGHEST));
    }

    pub(super) fn cumulate(&self, histogram: &Exponential, mut each: impl FnMut(f64, u64)) {
        let mut sum = histogram.below();
        if self.zero {
            each(0.0, sum);
        }
        let Some((from, to)) = self.range else { return };
        let mut buckets = histogram.positive.numbered().peekable();
        for exponent in from..=to {
            let inside =
                |(index, _): &(i64, u64)| upper(*index, histogram.scale).max(LOWEST) <= exponent;
            while let Some((_, count)) = buckets.next_if(inside) {
                sum = sum.saturating_add(count);
            }
            each(2_f64.powi(exponent as i32), sum);
        }
    }
}

/// The exponent of the least power of two that no value of the bucket is above.
fn upper(index: i64, scale: i32) -> i64 {
    if scale > 0 {
        // Rounds down below zero, too.
        (index >> scale.min(62)) + 1
    } else {
        // Anything further is far out of range.
        (index + 1).saturating_mul(1 << scale.unsigned_abs().min(30))
    }
}

#[cfg(test)]
mod tests;
