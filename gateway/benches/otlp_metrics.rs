//! What a data point costs from an OTLP request to `/metrics`.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    metrics::v1::{
        Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
        metric::Data, number_data_point,
    },
    resource::v1::Resource,
};
use prost::Message as _;
use weir_gateway::{
    otlp_metrics::OtlpMetrics, page::Format, profile::SEMCONV, self_metrics::SelfMetrics,
};
use weir_point::otlp::{OtlpBatch, Signal};

const SERIES: u64 = 100_000;
const BATCH: u64 = 1000;
const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;

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

fn attributes(number: u64) -> Vec<KeyValue> {
    vec![
        text("http.request.method", "GET"),
        text("http.route", &format!("/shop/{number}/cart")),
        attribute("http.response.status_code", Value::IntValue(200)),
        text("network.protocol.version", "1.1"),
        text("server.address", "cart.shop.example"),
        text("url.scheme", "https"),
    ]
}

fn batch(name: &str, data: Data) -> OtlpBatch {
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![
                    text("service.name", "cart"),
                    text("service.instance.id", "cart-5d8f9c-x7k2p"),
                    text("host.name", "node-17"),
                ],
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(InstrumentationScope {
                    name: "io.opentelemetry.http".to_owned(),
                    version: "2.1.0".to_owned(),
                    ..InstrumentationScope::default()
                }),
                metrics: vec![Metric {
                    name: name.to_owned(),
                    description: "What it counts.".to_owned(),
                    unit: "s".to_owned(),
                    data: Some(data),
                    ..Metric::default()
                }],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    OtlpBatch::check(Signal::Metrics, request.encode_to_vec().into()).expect("a request")
}

fn sums(numbers: std::ops::Range<u64>, time: u64) -> OtlpBatch {
    let point = |number| NumberDataPoint {
        attributes: attributes(number),
        start_time_unix_nano: 1,
        time_unix_nano: time,
        value: Some(number_data_point::Value::AsInt(123_456 + number as i64)),
        ..NumberDataPoint::default()
    };
    let sum = Sum {
        data_points: numbers.map(point).collect(),
        aggregation_temporality: CUMULATIVE,
        is_monotonic: true,
    };
    batch("http.server.time", Data::Sum(sum))
}

fn histograms(numbers: std::ops::Range<u64>, time: u64) -> OtlpBatch {
    let point = |number| HistogramDataPoint {
        attributes: attributes(number),
        start_time_unix_nano: 1,
        time_unix_nano: time,
        count: 30,
        sum: Some(12.5),
        bucket_counts: vec![2; 15],
        explicit_bounds: vec![
            0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
        ],
        ..HistogramDataPoint::default()
    };
    let histogram = Histogram {
        data_points: numbers.map(point).collect(),
        aggregation_temporality: DELTA,
    };
    batch("http.server.duration", Data::Histogram(histogram))
}

fn output() -> OtlpMetrics {
    let budget = SERIES as usize;
    OtlpMetrics::new(
        &SEMCONV,
        budget,
        Duration::from_secs(300),
        &SelfMetrics::new(),
    )
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0_u64) * 4096
}

fn take(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("otlp metrics");
    group.throughput(Throughput::Elements(BATCH));
    let output = output();
    for (name, batch) in [
        ("take a sum with 6 attributes", sums(0..BATCH, 0)),
        (
            "take a delta histogram of 15 buckets",
            histograms(0..BATCH, 0),
        ),
    ] {
        group.bench_function(name, |bench| bench.iter(|| output.take(&batch)));
    }
    group.finish();
}

fn render(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("otlp metrics");
    let before = resident();
    let output = output();
    for first in (0..SERIES).step_by(BATCH as usize) {
        output.take(&sums(first..first + BATCH, 1));
    }
    let per_series = (resident() - before) / SERIES;
    group
        .throughput(Throughput::Elements(SERIES))
        .sample_size(10);
    let name = format!("render {SERIES} series of {per_series} bytes in memory");
    let mut text = Vec::new();
    group.bench_function(name, |bench| {
        bench.iter(|| {
            text.clear();
            output.render(Format::Text, &mut text);
            black_box(text.len())
        });
    });
    group.finish();
}

// The memory of the first is not mixed with what the other one left.
criterion_group!(benches, render, take);
criterion_main!(benches);
