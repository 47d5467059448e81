//! The process's numbers as instruments of OpenTelemetry.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider as _},
};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    metrics::{PeriodicReader, SdkMeterProvider},
};

use super::events;

/// One number that a process says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The metric. What it is, counter or gauge, must not change.
    pub name: String,
    /// What tells it from other numbers of the metric.
    pub labels: Vec<(String, String)>,
    /// The number.
    pub number: Number,
}

/// A number and what it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A count of things that only grows.
    Count(u64),
    /// A quantity that only grows.
    Total(f64),
    /// What goes up and down.
    Gauge(f64),
}

/// What the gauge of lost events is called.
const EVENTS_DROPPED: &str = "weir_telemetry_log_events_dropped_total";

type Values = Arc<Mutex<HashMap<String, Vec<(Vec<KeyValue>, Number)>>>>;

/// Instruments, made as their metrics appear.
pub(super) struct Metrics {
    provider: SdkMeterProvider,
    meter: Meter,
    known: HashSet<String>,
    values: Values,
}

impl Metrics {
    /// The reader sends when it is told to; `interval` only has to be shorter than its own.
    pub(super) fn new(exporter: MetricExporter, resource: Resource, interval: Duration) -> Self {
        let reader = PeriodicReader::builder(exporter)
            .with_interval(interval.saturating_mul(1000))
            .build();
        let provider = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_reader(reader)
            .build();
        Self {
            meter: provider.meter("weir"),
            provider,
            known: HashSet::new(),
            values: Values::default(),
        }
    }

    /// Send these numbers, and none that were sent before.
    pub(super) fn send(&mut self, mut samples: Vec<Sample>) -> OTelSdkResult {
        samples.push(Sample {
            name: EVENTS_DROPPED.to_owned(),
            labels: Vec::new(),
            number: Number::Count(events::dropped()),
        });
        lock(&self.values).clear();
        for Sample {
            name,
            labels,
            number,
        } in samples
        {
            if self.known.insert(name.clone()) {
                self.instrument(name.clone(), number);
            }
            let labels = labels
                .into_iter()
                .map(|(key, value)| KeyValue::new(key, value));
            let value = (labels.collect(), number);
            lock(&self.values).entry(name).or_default().push(value);
        }
        self.provider.force_flush()
    }

    pub(super) fn shut_down(&self) {
        lock(&self.values).clear();
        match self.provider.shutdown() {
            // The last numbers were sent before.
            Ok(()) | Err(OTelSdkError::AlreadyShutdown) => {}
            Err(error) => tracing::debug!(%error, "self-telemetry did not end in order"),
        }
    }

    /// Make the instrument of the metric `name`; `number` says which.
    fn instrument(&self, name: String, number: Number) {
        let (values, own) = (Arc::clone(&self.values), name.clone());
        // The instruments live in the meter.
        match number {
            Number::Count(_) => {
                let builder = self.meter.u64_observable_counter(name);
                let observe = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
                    for (labels, number) in lock(&values).get(&own).into_iter().flatten() {
                        if let Number::Count(count) = number {
                            observer.observe(*count, labels);
                        }
                    }
                };
                builder.with_callback(observe).build();
            }
            Number::Total(_) => {
                let builder = self.meter.f64_observable_counter(name);
                builder.with_callback(float(values, own)).build();
            }
            Number::Gauge(_) => {
                let builder = self.meter.f64_observable_gauge(name);
                builder.with_callback(float(values, own)).build();
            }
        }
    }
}

fn float(
    values: Values,
    name: String,
) -> impl Fn(&dyn opentelemetry::metrics::AsyncInstrument<f64>) + Send + Sync + 'static {
    move |observer| {
        for (labels, number) in lock(&values).get(&name).into_iter().flatten() {
            if let Number::Total(value) | Number::Gauge(value) = number {
                observer.observe(*value, labels);
            }
        }
    }
}

fn lock<T>(values: &Mutex<T>) -> MutexGuard<'_, T> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}
