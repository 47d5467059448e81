//! What it costs to check a request, to read it, and to write it again; and what decoding it costs.

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
use weir_point::{
    Text,
    otlp::{self, DataPoint, Encoder, OtlpBatch, Signal, metrics},
};

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

fn check(criterion: &mut Criterion) {
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

/// Everything that a span says, to the last attribute.
fn read_spans(batch: &OtlpBatch) -> usize {
    let mut length = 0;
    for point in batch.points() {
        let span = point.span().expect("a span");
        length += attributes(span.attributes()) + span.name.len();
        length += span
            .events()
            .map(|event| attributes(event.attributes()))
            .sum::<usize>();
        black_box(span);
    }
    length
}

fn read_points(batch: &OtlpBatch) -> usize {
    let mut length = 0;
    for point in batch.points() {
        length += attributes(point.attributes());
        if let Some(DataPoint::Number(number)) = point.data_point() {
            black_box(number.value);
        }
    }
    length
}

fn attributes(attributes: otlp::Attributes<'_>) -> usize {
    attributes
        .map(|own| {
            let value = match own.value {
                otlp::AnyValue::Text(text) => text.len(),
                other => {
                    black_box(other);
                    0
                }
            };
            own.key.len() + value
        })
        .sum()
}

/// Every `step`th span gets another tag.
fn edit(batch: &OtlpBatch, step: usize) -> OtlpBatch {
    let mut encoder = Encoder::new(Signal::Traces);
    for (number, point) in batch.points().enumerate() {
        if number % step == 0 {
            let mut point = point.to_point();
            point
                .tags
                .set(Text::new_static("url.scheme"), Text::new_static("http"));
            encoder.push(&point).expect("a span");
        } else {
            encoder.keep(&point);
        }
    }
    encoder.finish()
}

/// As [`edit`] by the structs of `opentelemetry-proto`.
fn edit_by_prost(bytes: &Bytes, step: usize) -> Vec<u8> {
    let mut request = ExportTraceServiceRequest::decode(bytes.clone()).expect("a request");
    let scopes = request.resource_spans.iter_mut();
    let spans = scopes
        .flat_map(|own| &mut own.scope_spans)
        .flat_map(|own| &mut own.spans);
    for span in spans.step_by(step) {
        for own in &mut span.attributes {
            if own.key == "url.scheme" {
                *own = text("url.scheme", "http");
            }
        }
    }
    request.encode_to_vec()
}

fn points_of_spans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("span");
    group.throughput(Throughput::Elements(ITEMS as u64));
    let bytes = spans();
    let batch = OtlpBatch::check(Signal::Traces, bytes.clone()).expect("a request");
    group.bench_function("find each", |bench| bench.iter(|| batch.points().count()));
    group.bench_function("read all in place", |bench| {
        bench.iter(|| read_spans(&batch))
    });
    group.bench_function("one tag of each", |bench| {
        bench.iter(|| {
            batch
                .points()
                .filter(|own| own.tag("http.route") == Some("/x"))
                .count()
        });
    });
    group.bench_function("copy to Points", |bench| {
        bench.iter(|| {
            batch
                .points()
                .map(|own| black_box(own.to_point()).time)
                .sum::<u64>()
        });
    });
    group.bench_function("decode by prost", |bench| {
        bench.iter(|| ExportTraceServiceRequest::decode(bytes.clone()).expect("a request"));
    });
    group.bench_function("write all but one", |bench| {
        bench.iter(|| {
            let mut encoder = Encoder::new(Signal::Traces);
            batch.points().skip(1).for_each(|own| encoder.keep(&own));
            encoder.finish()
        });
    });
    group.bench_function("write, every tenth edited", |bench| {
        bench.iter(|| edit(&batch, 10))
    });
    group.bench_function("write, all edited", |bench| bench.iter(|| edit(&batch, 1)));
    group.bench_function("decode and encode by prost, every tenth edited", |bench| {
        bench.iter(|| edit_by_prost(&bytes, 10));
    });
    group.finish();
}

fn points_of_metrics(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gauge point");
    group.throughput(Throughput::Elements(ITEMS as u64));
    let bytes = points();
    let batch = OtlpBatch::check(Signal::Metrics, bytes.clone()).expect("a request");
    group.bench_function("read all in place", |bench| {
        bench.iter(|| read_points(&batch))
    });
    group.bench_function("copy to Points", |bench| {
        bench.iter(|| {
            batch
                .points()
                .map(|own| black_box(own.to_point()).time)
                .sum::<u64>()
        });
    });
    group.bench_function("decode by prost", |bench| {
        bench.iter(|| ExportMetricsServiceRequest::decode(bytes.clone()).expect("a request"));
    });
    group.finish();
}

criterion_group!(benches, check, points_of_spans, points_of_metrics);
criterion_main!(benches);
