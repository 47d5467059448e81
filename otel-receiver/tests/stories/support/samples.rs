//! Requests with every field of OTLP set.

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
use prost::Message;
use weir_point::otlp::Signal;

const TIME: u64 = 1_760_000_000_123_456_789;

/// The request of a signal, encoded.
pub(crate) fn request_of(signal: Signal) -> Vec<u8> {
    match signal {
        Signal::Traces => traces(3).encode_to_vec(),
        Signal::Metrics => metrics().encode_to_vec(),
        Signal::Logs => logs().encode_to_vec(),
    }
}

pub(crate) fn traces(spans: u64) -> ExportTraceServiceRequest {
    let span = |n: u64| Span {
        trace_id: (n + 1).to_be_bytes().repeat(2),
        span_id: (n + 1).to_be_bytes().to_vec(),
        trace_state: "vendor=value".to_owned(),
        parent_span_id: vec![0xfe; 8],
        flags: 0x301,
        name: format!("GET /ünïcödé/{n}"),
        kind: 2,
        start_time_unix_nano: TIME,
        end_time_unix_nano: TIME + n,
        attributes: attributes(),
        dropped_attributes_count: 1,
        events: vec![Event {
            time_unix_nano: TIME,
            name: "event \"quoted\"\n".to_owned(),
            attributes: attributes(),
            dropped_attributes_count: 2,
        }],
        dropped_events_count: 3,
        links: vec![Link {
            trace_id: vec![0xab; 16],
            span_id: vec![0xcd; 8],
            trace_state: "a=b".to_owned(),
            attributes: attributes(),
            dropped_attributes_count: 4,
            flags: 0x100,
        }],
        dropped_links_count: 5,
        status: Some(Status {
            message: "failed".to_owned(),
            code: 2,
        }),
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource()),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans: (0..spans).map(span).collect(),
                schema_url: "https://opentelemetry.io/schemas/1.30.0".to_owned(),
            }],
            schema_url: "https://opentelemetry.io/schemas/1.31.0".to_owned(),
        }],
    }
}

pub(crate) fn logs() -> ExportLogsServiceRequest {
    let record = LogRecord {
        time_unix_nano: TIME,
        observed_time_unix_nano: TIME + 1,
        severity_number: 17,
        severity_text: "ERROR".to_owned(),
        body: Some(any(Value::KvlistValue(KeyValueList {
            values: attributes(),
        }))),
        attributes: attributes(),
        dropped_attributes_count: 1,
        flags: 1,
        trace_id: vec![0x5b; 16],
        span_id: vec![0xee; 8],
        event_name: "browser.click".to_owned(),
    };
    let plain = LogRecord {
        body: Some(any(Value::StringValue("text".to_owned()))),
        ..LogRecord::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource()),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records: vec![record, plain],
                schema_url: "https://example.org/schema".to_owned(),
            }],
            schema_url: String::new(),
        }],
    }
}

/// One metric of each kind, seven data points in all.
pub(crate) fn metrics() -> ExportMetricsServiceRequest {
    let metric = |name: &str, data| Metric {
        name: name.to_owned(),
        description: format!("what {name} means"),
        unit: "By".to_owned(),
        metadata: attributes(),
        data: Some(data),
    };
    let gauge = Gauge {
        data_points: vec![
            number(number_data_point::Value::AsDouble(-0.5)),
            number(number_data_point::Value::AsInt(i64::MIN)),
        ],
    };
    let sum = Sum {
        data_points: vec![
            number(number_data_point::Value::AsInt(0)),
            number(number_data_point::Value::AsDouble(0.0)),
        ],
        aggregation_temporality: 2,
        is_monotonic: true,
    };
    let metrics = vec![
        metric("gauge", Data::Gauge(gauge)),
        metric("sum", Data::Sum(sum)),
        metric("histogram", Data::Histogram(histogram())),
        metric("exponential", Data::ExponentialHistogram(exponential())),
        metric("summary", Data::Summary(summary())),
    ];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics,
                schema_url: String::new(),
            }],
            schema_url: "https://example.org/schema".to_owned(),
        }],
    }
}

fn number(value: number_data_point::Value) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(),
        start_time_unix_nano: TIME,
        time_unix_nano: u64::MAX,
        exemplars: vec![
            exemplar(exemplar::Value::AsInt(-1)),
            exemplar(exemplar::Value::AsDouble(1e300)),
        ],
        flags: 1,
        value: Some(value),
    }
}

fn exemplar(value: exemplar::Value) -> Exemplar {
    Exemplar {
        filtered_attributes: attributes(),
        time_unix_nano: TIME,
        span_id: vec![1; 8],
        trace_id: vec![2; 16],
        value: Some(value),
    }
}

fn histogram() -> Histogram {
    Histogram {
        data_points: vec![HistogramDataPoint {
            attributes: attributes(),
            start_time_unix_nano: TIME,
            time_unix_nano: TIME,
            count: 5,
            sum: Some(0.0),
            bucket_counts: vec![0, 1, 4],
            explicit_bounds: vec![0.0, 10.5],
            exemplars: vec![exemplar(exemplar::Value::AsDouble(3.0))],
            flags: 0,
            min: Some(0.0),
            max: Some(12.0),
        }],
        aggregation_temporality: 1,
    }
}

fn exponential() -> ExponentialHistogram {
    let buckets = |offset| Buckets {
        offset,
        bucket_counts: vec![1, 0, 300, u64::MAX],
    };
    ExponentialHistogram {
        data_points: vec![ExponentialHistogramDataPoint {
            attributes: attributes(),
            start_time_unix_nano: TIME,
            time_unix_nano: TIME,
            count: 9,
            sum: None,
            scale: -3,
            zero_count: 2,
            positive: Some(buckets(-7)),
            negative: Some(buckets(i32::MAX)),
            flags: 0,
            exemplars: Vec::new(),
            min: None,
            max: Some(-0.0),
            zero_threshold: 0.25,
        }],
        aggregation_temporality: 2,
    }
}

fn summary() -> Summary {
    Summary {
        data_points: vec![SummaryDataPoint {
            attributes: attributes(),
            start_time_unix_nano: TIME,
            time_unix_nano: TIME,
            count: 2,
            sum: 3.5,
            quantile_values: vec![ValueAtQuantile {
                quantile: 0.99,
                value: 2.5,
            }],
            flags: 0,
        }],
    }
}

fn resource() -> Resource {
    Resource {
        attributes: attributes(),
        dropped_attributes_count: 7,
        entity_refs: vec![EntityRef {
            schema_url: "https://example.org/entity".to_owned(),
            r#type: "host".to_owned(),
            id_keys: vec!["host.id".to_owned(), "host.name".to_owned()],
            description_keys: vec!["host.arch".to_owned()],
        }],
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "scope".to_owned(),
        version: "1.2.3".to_owned(),
        attributes: attributes(),
        dropped_attributes_count: 1,
    }
}

/// An attribute of each type.
fn attributes() -> Vec<KeyValue> {
    let values = [
        Value::StringValue("text, ünïcödé, \"quotes\" and \\".to_owned()),
        Value::StringValue(String::new()),
        Value::BoolValue(true),
        Value::BoolValue(false),
        Value::IntValue(i64::MAX),
        Value::IntValue(-1),
        Value::DoubleValue(0.1),
        Value::ArrayValue(ArrayValue {
            values: vec![any(Value::IntValue(0)), any(Value::BoolValue(false))],
        }),
        Value::KvlistValue(KeyValueList {
            values: vec![KeyValue {
                key: "inner".to_owned(),
                value: Some(any(Value::DoubleValue(-1.0))),
                ..KeyValue::default()
            }],
        }),
        Value::BytesValue(vec![0xff, 0xfe, 0x00, 0x3e]),
    ];
    let attribute = |(n, value)| KeyValue {
        key: format!("key.{n}"),
        value: Some(any(value)),
        ..KeyValue::default()
    };
    values.into_iter().enumerate().map(attribute).collect()
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}
