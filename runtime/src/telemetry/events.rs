//! Warnings and errors of the process as log records.

use std::{
    error::Error,
    fmt,
    sync::{
        RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, Severity};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, Filter},
    registry::LookupSpan,
};

/// Log records in one interval of metrics. Past it they are dropped and counted: a record that
/// causes another one, which a gateway that sends to itself might do, comes to an end here.
const MOST: u64 = 100;

/// Where records go, if anywhere. There is one log for a process, so there is one of these.
static SINK: RwLock<Option<Sink>> = RwLock::new(None);
static DROPPED: AtomicU64 = AtomicU64::new(0);

struct Sink {
    logger: SdkLogger,
    rate: Rate,
}

/// How many records there were since when.
struct Rate {
    began: Instant,
    interval: Duration,
    /// Since the beginning, of all intervals together.
    interval_number: AtomicU64,
    taken: AtomicU64,
}

/// Send events to `logger` from now on, or nowhere.
pub(super) fn send_to(logger: Option<SdkLogger>, interval: Duration) {
    let sink = logger.map(|logger| Sink {
        logger,
        rate: Rate::new(interval),
    });
    if let Ok(mut place) = SINK.write() {
        *place = sink;
    }
}

/// Events that were not sent because there were too many.
pub(super) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The part of the log that sends warnings and errors. While there is nowhere to send them, it costs
/// a look at an event that is one.
pub(crate) fn events<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Events.with_filter(OwnWarnings)
}

struct Events;

/// Only of weir itself: what the libraries that send say about sending would send for ever.
struct OwnWarnings;

impl<S> Filter<S> for OwnWarnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: &Context<'_, S>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("weir")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }
}

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Ok(sink) = SINK.read() else { return };
        let Some(sink) = &*sink else { return };
        if !sink.rate.allows() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let metadata = event.metadata();
        let (number, text) = match *metadata.level() {
            Level::ERROR => (Severity::Error, "ERROR"),
            _ => (Severity::Warn, "WARN"),
        };
        let mut record = sink.logger.create_log_record();
        let now = SystemTime::now();
        record.set_timestamp(now);
        record.set_observed_timestamp(now);
        record.set_severity_number(number);
        record.set_severity_text(text);
        record.add_attribute("code.namespace", metadata.target().to_owned());
        event.record(&mut Fields(&mut record));
        sink.logger.emit(record);
    }
}

impl Rate {
    fn new(interval: Duration) -> Self {
        Self {
            began: Instant::now(),
            interval,
            interval_number: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        }
    }

    fn allows(&self) -> bool {
        let past = self.began.elapsed().as_nanos() / self.interval.as_nanos().max(1);
        let number = u64::try_from(past).unwrap_or(u64::MAX);
        if self.interval_number.swap(number, Ordering::AcqRel) != number {
            self.taken.store(0, Ordering::Release);
        }
        self.taken.fetch_add(1, Ordering::AcqRel) < MOST
    }
}

/// Puts the fields of an event in a record.
struct Fields<'a>(&'a mut SdkLogRecord);

impl Fields<'_> {
    fn add(&mut self, field: &Field, value: impl Into<AnyValue>) {
        if field.name() == "message" {
            self.0.set_body(value.into());
        } else {
            self.0.add_attribute(field.name(), value);
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.add(field, value),
            Err(_) => self.add(field, value.to_string()),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut next = value.source();
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        self.add(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_events_ends_and_the_next_interval_begins_anew() {
        let rate = Rate::new(Duration::from_secs(3600));
        let allowed = (0..1000).filter(|_| rate.allows()).count();
        assert_eq!(allowed, 100);
        let short = Rate::new(Duration::from_nanos(1));
        assert!((0..1000).filter(|_| short.allows()).count() > 100);
    }
}
