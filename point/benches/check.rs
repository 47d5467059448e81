//! What it costs to check a request, and to read its metrics.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
        number_data_point,
    },
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::Event},
};
use prost::Message as _;
use weir_point::otlp::{OtlpBatch, Signal, metrics};

const ITEMS: usize = 1000;

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

/// A server span as instrumented frameworks write it.
fn span(number: usize) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: (number as u64).to_be_bytes().to_vec(),
        parent_span_id: vec![3; 8],
        flags: 0x101,
        name: "GET /cart/{id}".to_owned(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_012_345_678,
        attributes: vec![
            text("http.request.method", "GET"),
            text("http.route", "/cart/{id}"),
            text("url.path", "/cart/8812"),
            text("url.scheme", "https"),
            attribute("http.response.status_code", Value::IntValue(200)),
            text("server.address", "cart.shop"),
            attribute("server.port", Value::IntValue(8443)),
            text("client.address", "10.2.3.4"),
            text(
                "user_agent.original",
                "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101",
            ),
            attribute("cache.hit", Value::BoolValue(true)),
        ],
        events: vec![Event {
            time_unix_nano: 1_700_000_000_001_000_000,
            name: "cache.lookup".to_owned(),
            attributes: vec![text("cache.key", "cart:8812")],
            ..Event::default()
        }],
        ..Span::default()
    }
}

fn point(number: usize) -> NumberDataPoint {
    NumberDataPoint {
        attributes: vec![
            text("host.name", "node-17.example"),
            text("service.zone", "eu-1b"),
            text("pool", "connections"),
            text("state", "idle"),
            text("db.system", "postgresql"),
            text("shard", "0042"),
        ],
        start_time_unix_nano: 1_700_000_000_000_000_000,
        time_unix_nano: 1_700_000_010_000_000_000,
        value: Some(number_data_point::Value::AsDouble(number as f64)),
        ..NumberDataPoint::default()
    }
}

fn spans() -> Bytes {
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: (0..ITEMS).map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec().into()
}

fn points() -> Bytes {
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![Metric {
                    name: "db.client.connections".to_owned(),
                    data: Some(Data::Gauge(Gauge {
                        data_points: (0..ITEMS).map(point).collect(),
                    })),
                    ..Metric::default()
                }],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    request.encode_to_vec().into()
}

fn read(batch: &OtlpBatch) -> usize {
    let mut length = 0;
    let scopes = batch
        .resource_metrics()
        .flat_map(|resource| resource.scopes());
    for metric in scopes.flat_map(|scope| scope.metrics()) {
        if let metrics::Data::Gauge(points) = metric.data {
            for point in points {
                black_box((point.span, point.value));
                length += point.attributes().map(|own| own.key.len()).sum::<usize>();
            }
        }
    }
    length
}

fn otlp(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("otlp");
    group.throughput(Throughput::Elements(ITEMS as u64));
    let (spans, points) = (spans(), points());
    let name = format!("check a span of {} bytes", spans.len() / ITEMS);
    group.bench_function(name, |bench| {
        bench.iter(|| OtlpBatch::check(Signal::Traces, spans.clone()));
    });
    let name = format!("check a gauge point of {} bytes", points.len() / ITEMS);
    group.bench_function(name, |bench| {
        bench.iter(|| OtlpBatch::check(Signal::Metrics, points.clone()));
    });
    let batch = OtlpBatch::check(Signal::Metrics, points).expect("a request");
    group.bench_function("read a gauge point and its attributes", |bench| {
        bench.iter(|| read(&batch));
    });
    group.finish();
}

criterion_group!(benches, otlp);
criterion_main!(benches);
