//! The numbers of one label set.

use std::time::{Duration, Instant};

use weir_point::otlp::traces::Span;

use crate::page::{Exemplar, Exemplars, Origin};

/// Spans of one label set.
#[derive(Debug)]
pub(super) struct Row {
    touched: Instant,
    /// Nanoseconds since the epoch.
    created: u64,
    errors: u64,
    /// Of all durations, in nanoseconds.
    sum: u64,
    /// By duration.
    counts: Box<[u64]>,
    exemplars: Option<Box<Exemplars>>,
}

impl Row {
    /// No spans, in so many buckets.
    pub(super) fn new(buckets: usize, now: Instant, created: u64) -> Self {
        Self {
            touched: now,
            created,
            errors: 0,
            sum: 0,
            counts: vec![0; buckets].into(),
            exemplars: None,
        }
    }

    pub(super) fn add(&mut self, took: u64, bucket: usize, is_error: bool, now: Instant) {
        self.touched = now;
        self.errors += u64::from(is_error);
        self.sum = self.sum.saturating_add(took);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
    }

    /// The span is the latest example of its bucket.
    pub(super) fn exemplify(&mut self, bucket: usize, span: &Span<'_>, took: f64) {
        let exemplar = Exemplar::new(took, span.end, span.trace_id, span.span_id);
        if !exemplar.is_anonymous() {
            let bucket = i32::try_from(bucket).unwrap_or(i32::MAX);
            self.exemplars
                .get_or_insert_default()
                .take(bucket, exemplar);
        }
    }

    pub(super) fn calls(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) const fn errors(&self) -> u64 {
        self.errors
    }

    pub(super) const fn sum(&self) -> u64 {
        self.sum
    }

    pub(super) fn cumulate(&self, bounds: &[f64], out: &mut Vec<(f64, u64)>) {
        out.clear();
        let mut sum = 0;
        out.extend(bounds.iter().zip(&self.counts).map(|(bound, count)| {
            sum += count;
            (*bound, sum)
        }));
    }

    pub(super) fn exemplars(&self) -> &[Exemplar] {
        self.exemplars.as_deref().map_or(&[], Exemplars::as_slice)
    }

    /// Without exemplars: they are of durations.
    pub(super) const fn origin(&self) -> Origin<'static> {
        Origin {
            created: self.created,
            exemplars: &[],
        }
    }

    pub(super) fn is_idle(&self, now: Instant, expiry: Duration) -> bool {
        now.saturating_duration_since(self.touched) > expiry
    }
}
