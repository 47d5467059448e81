//! Requests whose items have names, so that each can be found again at the endpoint.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
        number_data_point,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;
use weir_point::otlp::{OtlpBatch, Signal};

fn text(value: &str) -> Option<AnyValue> {
    Some(AnyValue {
        value: Some(Value::StringValue(value.to_owned())),
    })
}

fn resource(id: &str, padding: usize) -> Option<Resource> {
    let attribute = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: text(value),
        ..KeyValue::default()
    };
    Some(Resource {
        attributes: vec![
            attribute("service.name", id),
            attribute("padding", &"x".repeat(padding)),
        ],
        ..Resource::default()
    })
}

fn encoded(signal: Signal, id: &str, items: usize, padding: usize) -> Vec<u8> {
    let resource = resource(id, padding);
    let names = (0..items).map(|number| format!("{id}/{number}"));
    match signal {
        Signal::Traces => {
            let spans = names.map(|name| Span {
                trace_id: vec![1; 16],
                span_id: vec![2; 8],
                name,
                ..Span::default()
            });
            let scope_spans = vec![ScopeSpans {
                spans: spans.collect(),
                ..ScopeSpans::default()
            }];
            let resource_spans = vec![ResourceSpans {
                resource,
                scope_spans,
                ..ResourceSpans::default()
            }];
            ExportTraceServiceRequest { resource_spans }.encode_to_vec()
        }
        Signal::Metrics => {
            let point = NumberDataPoint {
                time_unix_nano: 1,
                value: Some(number_data_point::Value::AsDouble(0.5)),
                ..NumberDataPoint::default()
            };
            let gauge = Gauge {
                data_points: vec![point],
            };
            let metrics = names.map(|name| Metric {
                name,
                data: Some(Data::Gauge(gauge.clone())),
                ..Metric::default()
            });
            let scope_metrics = vec![ScopeMetrics {
                metrics: metrics.collect(),
                ..ScopeMetrics::default()
            }];
            let resource_metrics = vec![ResourceMetrics {
                resource,
                scope_metrics,
                ..ResourceMetrics::default()
            }];
            ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
        }
        Signal::Logs => {
            let records = names.map(|name| LogRecord {
                body: text(&name),
                ..LogRecord::default()
            });
            let scope_logs = vec![ScopeLogs {
                log_records: records.collect(),
                ..ScopeLogs::default()
            }];
            let resource_logs = vec![ResourceLogs {
                resource,
                scope_logs,
                ..ResourceLogs::default()
            }];
            ExportLogsServiceRequest { resource_logs }.encode_to_vec()
        }
    }
}

/// A request with `items` items, named `ID/0`, `ID/1` and so on.
pub(crate) fn batch_with_id(signal: Signal, id: &str, items: usize, padding: usize) -> OtlpBatch {
    let bytes = encoded(signal, id, items, padding);
    let batch = OtlpBatch::check(signal, bytes.into()).expect("a right request");
    assert_eq!(batch.items(), items);
    batch
}

/// A small request with `items` items.
pub(crate) fn batch(signal: Signal, id: u32, items: usize) -> OtlpBatch {
    batch_with_id(signal, &id.to_string(), items, 0)
}

/// A request with one item and about `size` bytes.
pub(crate) fn batch_of_size(signal: Signal, id: u32, size: usize) -> OtlpBatch {
    batch_with_id(signal, &id.to_string(), 1, size)
}

/// The names of the items of a request, in order.
pub(crate) fn names(signal: Signal, bytes: &[u8]) -> Vec<String> {
    match signal {
        Signal::Traces => {
            let request = ExportTraceServiceRequest::decode(bytes).expect("traces");
            let scopes = request
                .resource_spans
                .into_iter()
                .flat_map(|r| r.scope_spans);
            scopes.flat_map(|s| s.spans).map(|span| span.name).collect()
        }
        Signal::Metrics => {
            let request = ExportMetricsServiceRequest::decode(bytes).expect("metrics");
            let scopes = request
                .resource_metrics
                .into_iter()
                .flat_map(|r| r.scope_metrics);
            scopes
                .flat_map(|s| s.metrics)
                .map(|metric| metric.name)
                .collect()
        }
        Signal::Logs => {
            let request = ExportLogsServiceRequest::decode(bytes).expect("logs");
            let scopes = request.resource_logs.into_iter().flat_map(|r| r.scope_logs);
            let records = scopes.flat_map(|s| s.log_records);
            records
                .map(|record| match record.body.and_then(|body| body.value) {
                    Some(Value::StringValue(name)) => name,
                    other => panic!("a body of {other:?}"),
                })
                .collect()
        }
    }
}
