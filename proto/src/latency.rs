//! Times in buckets, which can be added up where they are merged.

use crate::flow::v1::Latency;

const MICROSECOND: u64 = 1000;
const MILLISECOND: u64 = 1000 * MICROSECOND;
const SECOND: u64 = 1000 * MILLISECOND;

/// The longest time of each bucket of a [`Latency`] in nanoseconds; one more bucket has no bound.
///
/// From a cache's answer on one host to the patience of most clients.
pub const LATENCY_BOUNDS_NS: [u64; 16] = [
    100 * MICROSECOND,
    250 * MICROSECOND,
    500 * MICROSECOND,
    MILLISECOND,
    2500 * MICROSECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    25 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    250 * MILLISECOND,
    500 * MILLISECOND,
    SECOND,
    2500 * MILLISECOND,
    5 * SECOND,
    10 * SECOND,
];

impl Latency {
    /// Takes one more time in.
    pub fn add(&mut self, nanoseconds: u64) {
        self.buckets.resize(LATENCY_BOUNDS_NS.len() + 1, 0);
        let bucket = LATENCY_BOUNDS_NS.partition_point(|bound| *bound < nanoseconds);
        self.buckets[bucket] += 1;
        self.sum_nano = self.sum_nano.saturating_add(nanoseconds);
        self.max_nano = self.max_nano.max(nanoseconds);
    }

    /// How many times there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, bucket| sum.saturating_add(*bucket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_bucket_whose_bound_it_does_not_pass() {
        let mut latency = Latency::default();
        for time in [1, 100 * MICROSECOND, 100 * MICROSECOND + 1, 11 * SECOND] {
            latency.add(time);
        }
        assert_eq!(latency.buckets[..2], [2, 1]);
        assert_eq!(latency.buckets.last(), Some(&1));
        assert_eq!(latency.count(), 4);
        assert_eq!(latency.max_nano, 11 * SECOND);
        assert_eq!(latency.sum_nano, 200 * MICROSECOND + 2 + 11 * SECOND);
    }
}
