//! Requests with everything that OTLP has, at random.

use fastrand::Rng;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{
        AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
        any_value::Value,
    },
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
        HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
        SummaryDataPoint, exemplar, exponential_histogram_data_point::Buckets, metric::Data,
        number_data_point, summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link},
    },
};

/// Up to `most` of what `make` makes.
fn some<T>(rng: &mut Rng, most: usize, mut make: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    (0..rng.usize(..=most)).map(|_| make(rng)).collect()
}

fn maybe<T>(rng: &mut Rng, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.bool().then(|| make(rng))
}

fn text(rng: &mut Rng) -> String {
    let length = rng.usize(..12);
    let character = |rng: &mut Rng| match rng.u8(..10) {
        0 => rng.char(..),
        1 => 'é',
        _ => rng.alphanumeric(),
    };
    (0..length).map(|_| character(rng)).collect()
}

fn bytes(rng: &mut Rng) -> Vec<u8> {
    some(rng, 16, |rng| rng.u8(..))
}

fn double(rng: &mut Rng) -> f64 {
    rng.f64() * 1000.0 - 300.0
}

/// A number of any number of bytes.
fn wide(rng: &mut Rng) -> u64 {
    rng.u64(..) >> rng.u32(..64)
}

fn value(rng: &mut Rng, depth: u32) -> AnyValue {
    let kinds = if depth == 0 { 6 } else { 8 };
    let value = match rng.u8(..kinds) {
        0 => None,
        1 => Some(Value::StringValue(text(rng))),
        2 => Some(Value::BoolValue(rng.bool())),
        3 => Some(Value::IntValue(wide(rng).cast_signed())),
        4 => Some(Value::DoubleValue(double(rng))),
        5 => Some(Value::BytesValue(bytes(rng))),
        6 => Some(Value::ArrayValue(ArrayValue {
            values: some(rng, 3, |rng| value(rng, depth - 1)),
        })),
        _ => Some(Value::KvlistValue(KeyValueList {
            values: some(rng, 3, |rng| attribute(rng, depth - 1)),
        })),
    };
    AnyValue { value }
}

fn attribute(rng: &mut Rng, depth: u32) -> KeyValue {
    KeyValue {
        key: text(rng),
        value: maybe(rng, |rng| value(rng, depth)),
        ..KeyValue::default()
    }
}

fn attributes(rng: &mut Rng) -> Vec<KeyValue> {
    some(rng, 4, |rng| attribute(rng, 3))
}

fn resource(rng: &mut Rng) -> Resource {
    Resource {
        attributes: attributes(rng),
        dropped_attributes_count: rng.u32(..3),
        entity_refs: some(rng, 1, |rng| EntityRef {
            schema_url: text(rng),
            r#type: text(rng),
            id_keys: some(rng, 2, text),
            description_keys: some(rng, 2, text),
        }),
    }
}

fn scope(rng: &mut Rng) -> InstrumentationScope {
    InstrumentationScope {
        name: text(rng),
        version: text(rng),
        attributes: attributes(rng),
        dropped_attributes_count: rng.u32(..3),
    }
}

fn span(rng: &mut Rng) -> Span {
    Span {
        trace_id: bytes(rng),
        span_id: bytes(rng),
        trace_state: text(rng),
        parent_span_id: bytes(rng),
        flags: rng.u32(..),
        name: text(rng),
        kind: rng.i32(-1..7),
        start_time_unix_nano: rng.u64(..),
        end_time_unix_nano: rng.u64(..),
        attributes: attributes(rng),
        dropped_attributes_count: rng.u32(..),
        events: some(rng, 2, |rng| Event {
            time_unix_nano: rng.u64(..),
            name: text(rng),
            attributes: attributes(rng),
            dropped_attributes_count: rng.u32(..),
        }),
        dropped_events_count: rng.u32(..3),
        links: some(rng, 2, |rng| Link {
            trace_id: bytes(rng),
            span_id: bytes(rng),
            trace_state: text(rng),
            attributes: attributes(rng),
            dropped_attributes_count: rng.u32(..),
            flags: rng.u32(..),
        }),
        dropped_links_count: rng.u32(..3),
        status: maybe(rng, |rng| Status {
            message: text(rng),
            code: rng.i32(-3..4),
        }),
    }
}

pub(crate) fn traces(rng: &mut Rng) -> ExportTraceServiceRequest {
    let scope_spans = |rng: &mut Rng| ScopeSpans {
        scope: maybe(rng, scope),
        spans: some(rng, 4, span),
        schema_url: text(rng),
    };
    ExportTraceServiceRequest {
        resource_spans: some(rng, 3, |rng| ResourceSpans {
            resource: maybe(rng, resource),
            scope_spans: some(rng, 2, scope_spans),
            schema_url: text(rng),
        }),
    }
}

fn record(rng: &mut Rng) -> LogRecord {
    LogRecord {
        time_unix_nano: rng.u64(..),
        observed_time_unix_nano: rng.u64(..),
        severity_number: rng.i32(0..25),
        severity_text: text(rng),
        body: maybe(rng, |rng| value(rng, 4)),
        attributes: attributes(rng),
        dropped_attributes_count: rng.u32(..),
        flags: rng.u32(..),
        trace_id: bytes(rng),
        span_id: bytes(rng),
        event_name: text(rng),
    }
}

pub(crate) fn logs(rng: &mut Rng) -> ExportLogsServiceRequest {
    let scope_logs = |rng: &mut Rng| ScopeLogs {
        scope: maybe(rng, scope),
        log_records: some(rng, 4, record),
        schema_url: text(rng),
    };
    ExportLogsServiceRequest {
        resource_logs: some(rng, 3, |rng| ResourceLogs {
            resource: maybe(rng, resource),
            scope_logs: some(rng, 2, scope_logs),
            schema_url: text(rng),
        }),
    }
}

fn exemplar(rng: &mut Rng) -> Exemplar {
    Exemplar {
        filtered_attributes: attributes(rng),
        time_unix_nano: rng.u64(..),
        span_id: bytes(rng),
        trace_id: bytes(rng),
        value: maybe(rng, |rng| match rng.bool() {
            true => exemplar::Value::AsDouble(double(rng)),
            false => exemplar::Value::AsInt(rng.i64(..)),
        }),
    }
}

fn number(rng: &mut Rng) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano: rng.u64(..),
        time_unix_nano: rng.u64(..),
        exemplars: some(rng, 2, exemplar),
        flags: rng.u32(..2),
        value: maybe(rng, |rng| match rng.bool() {
            true => number_data_point::Value::AsDouble(double(rng)),
            false => number_data_point::Value::AsInt(rng.i64(..)),
        }),
    }
}

fn histogram(rng: &mut Rng) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano: rng.u64(..),
        time_unix_nano: rng.u64(..),
        count: rng.u64(..),
        sum: maybe(rng, double),
        bucket_counts: some(rng, 5, |rng| rng.u64(..)),
        explicit_bounds: some(rng, 5, double),
        exemplars: some(rng, 2, exemplar),
        flags: rng.u32(..2),
        min: maybe(rng, double),
        max: maybe(rng, double),
    }
}

fn buckets(rng: &mut Rng) -> Buckets {
    Buckets {
        offset: rng.i32(..),
        bucket_counts: some(rng, 9, wide),
    }
}

fn exponential(rng: &mut Rng) -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano: rng.u64(..),
        time_unix_nano: rng.u64(..),
        count: rng.u64(..),
        sum: maybe(rng, double),
        scale: rng.i32(..),
        zero_count: rng.u64(..),
        positive: maybe(rng, buckets),
        negative: maybe(rng, buckets),
        flags: rng.u32(..2),
        exemplars: some(rng, 2, exemplar),
        min: maybe(rng, double),
        max: maybe(rng, double),
        zero_threshold: double(rng),
    }
}

fn summary(rng: &mut Rng) -> SummaryDataPoint {
    SummaryDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano: rng.u64(..),
        time_unix_nano: rng.u64(..),
        count: rng.u64(..),
        sum: double(rng),
        quantile_values: some(rng, 3, |rng| ValueAtQuantile {
            quantile: rng.f64(),
            value: double(rng),
        }),
        flags: rng.u32(..2),
    }
}

fn metric(rng: &mut Rng) -> Metric {
    let aggregation_temporality = rng.i32(0..4);
    let data = match rng.u8(..6) {
        0 => None,
        1 => Some(Data::Gauge(Gauge {
            data_points: some(rng, 3, number),
        })),
        2 => Some(Data::Sum(Sum {
            data_points: some(rng, 3, number),
            aggregation_temporality,
            is_monotonic: rng.bool(),
        })),
        3 => Some(Data::Histogram(Histogram {
            data_points: some(rng, 3, histogram),
            aggregation_temporality,
        })),
        4 => Some(Data::ExponentialHistogram(ExponentialHistogram {
            data_points: some(rng, 3, exponential),
            aggregation_temporality,
        })),
        _ => Some(Data::Summary(Summary {
            data_points: some(rng, 3, summary),
        })),
    };
    Metric {
        name: text(rng),
        description: text(rng),
        unit: text(rng),
        metadata: attributes(rng),
        data,
    }
}

pub(crate) fn metrics(rng: &mut Rng) -> ExportMetricsServiceRequest {
    let scope_metrics = |rng: &mut Rng| ScopeMetrics {
        scope: maybe(rng, scope),
        metrics: some(rng, 4, metric),
        schema_url: text(rng),
    };
    ExportMetricsServiceRequest {
        resource_metrics: some(rng, 3, |rng| ResourceMetrics {
            resource: maybe(rng, resource),
            scope_metrics: some(rng, 2, scope_metrics),
            schema_url: text(rng),
        }),
    }
}
