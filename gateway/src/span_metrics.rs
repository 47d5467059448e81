//! Metrics made of spans: how many, how many of them failed, and how long they took. What the
//! OpenTelemetry Collector calls the span metrics connector.

mod config;
mod labels;
mod row;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use hashbrown::{HashMap, hash_map::EntryRef};
use metrics::{Counter, Gauge};
use weir_point::otlp::{OtlpBatch, traces::Span};

pub use self::config::Config;
use self::{labels::Labels, row::Row};
use crate::{
    page::{self, Format, Head, Kind, Number, Origin, Page},
    self_metrics::{
        SPAN_METRICS_EXPIRED, SPAN_METRICS_LABEL_SETS, SPAN_METRICS_SPANS, SelfMetrics,
    },
};

const CALLS: &str = "traces_span_metrics_calls_total";
const ERRORS: &str = "traces_span_metrics_errors_total";
const DURATION: &str = "traces_span_metrics_duration_seconds";
/// Every name on the page.
pub const NAMES: [&str; 6] = [
    CALLS,
    ERRORS,
    DURATION,
    "traces_span_metrics_duration_seconds_bucket",
    "traces_span_metrics_duration_seconds_sum",
    "traces_span_metrics_duration_seconds_count",
];
const FAMILIES: usize = 3;
/// `STATUS_CODE_ERROR` of the protocol's `trace.proto`.
const ERROR: i32 = 2;

/// Longer label sets go to the rest.
const LONGEST_LABELS: usize = 4 * 1024;
/// How many services have a rest of their own.
const MOST_SERVICES: usize = 1000;
/// The label that tells the rest from spans of any name.
const OTHER_NAME: &str = "span_name=\"~other\"";
const OTHER_SERVICE: &str = "service_name=\"~other\"";

/// All series made of spans. Spans are counted by whoever brings them: nothing waits in a queue.
#[derive(Debug)]
pub struct SpanMetrics {
    config: Config,
    /// In nanoseconds.
    bounds: Vec<u64>,
    /// The dimensions as labels.
    dimensions: Vec<String>,
    idle_expiry: Mutex<Duration>,
    rows: Mutex<Rows>,
    taken: Counter,
    folded: Counter,
    held: Gauge,
    expired: Counter,
}

#[derive(Debug, Default)]
struct Rows {
    rows: HashMap<Box<str>, Row>,
    /// What came past the budget, by service.
    others: HashMap<Box<str>, Row>,
}

impl SpanMetrics {
    /// No series yet. A label set without a span for `idle_expiry` goes.
    pub fn new(config: Config, idle_expiry: Duration, metrics: &SelfMetrics) -> Self {
        let nanos = |bound: &Duration| u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        Self {
            bounds: config.buckets.iter().map(nanos).collect(),
            dimensions: config.labels(),
            config,
            idle_expiry: Mutex::new(idle_expiry),
            rows: Mutex::default(),
            taken: metrics.counter(&SPAN_METRICS_SPANS, &["taken"]),
            folded: metrics.counter(&SPAN_METRICS_SPANS, &["folded"]),
            held: metrics.gauge(&SPAN_METRICS_LABEL_SETS, &[]),
            expired: metrics.counter(&SPAN_METRICS_EXPIRED, &[]),
        }
    }

    /// From now on a label set without a span for `idle_expiry` goes.
    pub fn limit(&self, idle_expiry: Duration) {
        *self.expiry() = idle_expiry;
    }

    fn expiry(&self) -> MutexGuard<'_, Duration> {
        self.idle_expiry
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Count all spans of `batch`.
    pub fn take(&self, batch: &OtlpBatch) {
        let mut labels = Labels::new(&self.config.dimensions, &self.dimensions);
        let (mut taken, mut folded) = (0, 0);
        let now = Instant::now();
        let mut held = self.lock();
        let before = held.rows.len();
        for resource in batch.resource_spans() {
            labels.resource(&resource);
            for span in resource.scopes().flat_map(|scope| scope.spans()) {
                let (row, is_own) = held.row(&mut labels, &span, self.config.series_budget, || {
                    Row::new(self.bounds.len() + 1, now, since_epoch())
                });
                self.count(row, &span, now);
                taken += u64::from(is_own);
                folded += u64::from(!is_own);
            }
        }
        let after = held.rows.len();
        drop(held);
        self.taken.increment(taken);
        self.folded.increment(folded);
        if after != before {
            self.held.increment(after as f64 - before as f64);
        }
    }

    fn count(&self, row: &mut Row, span: &Span<'_>, now: Instant) {
        // Clocks can be set back in the middle of a span.
        let took = span.end.saturating_sub(span.start);
        let bucket = self.bounds.partition_point(|bound| *bound < took);
        let is_error = span.status.is_some_and(|status| status.code == ERROR);
        row.add(took, bucket, is_error, now);
        if self.config.exemplars {
            row.exemplify(bucket, span, seconds(took));
        }
    }

    /// How many metrics there are.
    pub const fn families(&self) -> usize {
        FAMILIES
    }

    /// The metric `family` with all its series; `None` past the last one.
    pub fn part(&self, family: usize, format: Format) -> Option<Vec<u8>> {
        let mut page = Page::new(format);
        let rows = self.lock();
        if rows.is_empty() {
            return (family < FAMILIES).then(Vec::new);
        }
        match family {
            0 => {
                head(CALLS, Kind::Counter, "Spans.", "", &mut page);
                for (labels, row) in rows.iter() {
                    page.number(labels, Number::Count(row.calls()), row.origin());
                }
            }
            1 => {
                let help = "Spans with the status ERROR.";
                head(ERRORS, Kind::Counter, help, "", &mut page);
                for (labels, row) in rows.iter().filter(|(_, row)| row.errors() > 0) {
                    page.number(labels, Number::Count(row.errors()), row.origin());
                }
            }
            2 => {
                let help = "How long spans took.";
                head(DURATION, Kind::Histogram, help, "seconds", &mut page);
                self.durations(&rows, &mut page);
            }
            _ => return None,
        }
        Some(page.finish())
    }

    fn durations(&self, rows: &Rows, page: &mut Page) {
        let bounds: Vec<f64> = self.bounds.iter().copied().map(seconds).collect();
        let mut buckets = Vec::with_capacity(bounds.len());
        for (labels, row) in rows.iter() {
            row.cumulate(&bounds, &mut buckets);
            let histogram = page::Histogram {
                count: row.calls(),
                sum: Some(seconds(row.sum())),
                buckets: &buckets,
                native: None,
            };
            let origin = Origin {
                exemplars: row.exemplars(),
                ..row.origin()
            };
            page.histogram(labels, &histogram, origin);
        }
    }

    /// Remove what had no span for too long before `now`; returns how many label sets.
    pub fn sweep(&self, now: Instant) -> usize {
        let mut held = self.lock();
        let idle_expiry = *self.expiry();
        let expired = held.sweep(|row| row.is_idle(now, idle_expiry));
        self.held.set(held.rows.len() as f64);
        drop(held);
        self.expired.increment(expired as u64);
        expired
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    /// The row that `span` is counted in, and whether it is one of its own label set.
    fn row<'batch>(
        &mut self,
        labels: &mut Labels<'_, 'batch>,
        span: &Span<'batch>,
        budget: usize,
        new: impl FnOnce() -> Row,
    ) -> (&mut Row, bool) {
        let Self { rows, others } = self;
        let text = labels.span(span);
        let has_room = rows.len() < budget && text.len() <= LONGEST_LABELS;
        match rows.entry_ref(text) {
            EntryRef::Occupied(row) => return (row.into_mut(), true),
            EntryRef::Vacant(place) if has_room => {
                return (place.insert_with_key(text.into(), new()), true);
            }
            EntryRef::Vacant(_) => {}
        }
        let service = labels.service();
        let is_usual = service.len() <= LONGEST_LABELS
            && (others.len() < MOST_SERVICES || others.contains_key(service));
        let service = if is_usual { service } else { OTHER_SERVICE };
        let row = match others.entry_ref(service) {
            EntryRef::Occupied(row) => row.into_mut(),
            EntryRef::Vacant(place) => place.insert_with_key(service.into(), new()),
        };
        (row, false)
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.others.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = (page::Labels<'_>, &Row)> {
        let rows = self.rows.iter();
        let rows = rows.map(|(labels, row)| (page::Labels(labels, ""), row));
        let others = self.others.iter();
        rows.chain(others.map(|(service, row)| (page::Labels(service, OTHER_NAME), row)))
    }

    /// Removes the idle ones; how many.
    fn sweep(&mut self, is_idle: impl Fn(&Row) -> bool) -> usize {
        let before = self.rows.len();
        self.rows.retain(|_, row| !is_idle(row));
        self.others.retain(|_, row| !is_idle(row));
        let left = self.rows.len();
        if left < self.rows.capacity() / 4 {
            self.rows.shrink_to(left * 2);
        }
        before - left
    }
}

/// Another one may take its place; what it shows is not this one's any more.
impl Drop for SpanMetrics {
    fn drop(&mut self) {
        let held = self.lock().rows.len();
        self.held.decrement(held as f64);
    }
}

fn head(name: &str, kind: Kind, help: &str, unit: &str, page: &mut Page) {
    page.family(&Head {
        name,
        kind,
        help,
        unit,
        crowded: false,
    });
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// Now, in nanoseconds.
fn since_epoch() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(0))
}
