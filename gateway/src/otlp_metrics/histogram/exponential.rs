//! Exponential buckets as classic ones. Their bounds are the powers of two, because the bounds
//! of every scale from 0 up are among those of the finer ones: no value changes sides.

use weir_point::otlp::metrics::{Buckets, ExponentialPoint};

/// From 5e-20 to 2e19: below a nanosecond in seconds, above an exabyte in bytes.
const LOWEST: i32 = -64;
const HIGHEST: i32 = 64;
const SPAN: usize = (HIGHEST - LOWEST + 1) as usize;

/// The powers of two that a metric needs. All its series show all of them: sums over series with
/// different bounds would be wrong. They only become more.
#[derive(Debug, Default)]
pub(in super::super) struct Exponents {
    zero: bool,
    range: Option<(i32, i32)>,
}

impl Exponents {
    pub(super) fn include(&mut self, below: u64, first: i32, length: usize) {
        self.zero |= below > 0;
        if length > 0 {
            let last = last(first, length);
            let (from, to) = self.range.unwrap_or((first, last));
            self.range = Some((from.min(first), to.max(last)));
        }
    }

    pub(super) fn cumulate(
        &self,
        below: u64,
        first: i32,
        counts: &[u64],
        mut each: impl FnMut(f64, u64),
    ) {
        let mut sum = below;
        if self.zero {
            each(0.0, sum);
        }
        let Some((from, to)) = self.range else { return };
        for exponent in from..=to {
            let place = usize::try_from(exponent - first).ok();
            let count = place.and_then(|place| counts.get(place));
            sum = sum.saturating_add(count.copied().unwrap_or(0));
            each(2_f64.powi(exponent), sum);
        }
    }
}

fn last(first: i32, length: usize) -> i32 {
    first + i32::try_from(length).unwrap_or(0) - 1
}

/// Zero and below, the exponent of the first bucket, the buckets and the number of values.
/// What is near to zero counts as zero; what is above the highest bound is in no bucket.
pub(super) fn convert(point: &ExponentialPoint<'_>) -> (u64, i32, Vec<u64>, u64) {
    let negative = point.negative().counts().fold(0, u64::saturating_add);
    let below = point.zero_count.saturating_add(negative);
    let mut powers = [0_u64; SPAN];
    let mut count = below;
    let Buckets { offset, .. } = point.positive();
    for (place, values) in (i64::from(offset)..).zip(point.positive().counts()) {
        if values == 0 {
            continue;
        }
        count = count.saturating_add(values);
        let exponent = upper(place, point.scale).max(i64::from(LOWEST));
        let index = usize::try_from(exponent - i64::from(LOWEST)).unwrap_or(usize::MAX);
        if let Some(power) = powers.get_mut(index) {
            *power = power.saturating_add(values);
        }
    }
    let used = |power: &u64| *power > 0;
    let Some(first) = powers.iter().position(used) else {
        return (below, 0, Vec::new(), count);
    };
    let last = powers.iter().rposition(used).unwrap_or(first);
    let lowest = LOWEST + i32::try_from(first).unwrap_or(0);
    (below, lowest, powers[first..=last].to_vec(), count)
}

/// The exponent of the least power of two that no value of the bucket is above.
fn upper(place: i64, scale: i32) -> i64 {
    if scale > 0 {
        // Rounds down below zero, too.
        (place >> scale.min(62)) + 1
    } else {
        // Anything further is far out of range.
        (place + 1).saturating_mul(1 << scale.unsigned_abs().min(30))
    }
}

/// Add buckets to buckets.
pub(super) fn add(first: &mut i32, counts: &mut Vec<u64>, more_first: i32, more: &[u64]) {
    if more.is_empty() {
        return;
    }
    if counts.is_empty() {
        *first = more_first;
    }
    let front = usize::try_from(*first - more_first).unwrap_or(0);
    if front > 0 {
        counts.splice(..0, std::iter::repeat_n(0, front));
        *first = more_first;
    }
    let place = usize::try_from(more_first - *first).unwrap_or(0);
    if counts.len() < place + more.len() {
        counts.resize(place + more.len(), 0);
    }
    for (count, more) in counts[place..].iter_mut().zip(more) {
        *count = count.saturating_add(*more);
    }
}
