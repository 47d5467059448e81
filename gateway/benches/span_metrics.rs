//! What a span costs from an OTLP request to its metrics.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status},
};
use prost::Message as _;
use weir_gateway::{
    page::Format,
    self_metrics::SelfMetrics,
    span_metrics::{Config, SpanMetrics},
};
use weir_point::otlp::{OtlpBatch, Signal};

const BATCH: u64 = 1000;
const SERIES: u64 = 20_000;

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

/// A span as instrumented servers send it, with 10 attributes.
fn span(number: u64) -> Span {
    Span {
        trace_id: (1..=16).map(|byte| byte ^ number as u8).collect(),
        span_id: (number + 1).to_be_bytes().to_vec(),
        name: format!("GET /shop/{number}/cart"),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_000_000_000 + number * 1_000_000,
        attributes: (0..9)
            .map(|n| text(&format!("app.attribute.{n}"), "some value of it"))
            .chain([text("http.request.method", "GET")])
            .collect(),
        status: Some(Status::default()),
        ..Span::default()
    }
}

fn batch(numbers: std::ops::Range<u64>) -> OtlpBatch {
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", "cart"), text("host.name", "node-17")],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: numbers.map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    OtlpBatch::check(Signal::Traces, request.encode_to_vec().into()).expect("a request")
}

fn metrics(dimensions: &[&str], exemplars: bool) -> SpanMetrics {
    let config = Config {
        dimensions: dimensions.iter().map(|&name| name.to_owned()).collect(),
        series_budget: SERIES as usize,
        exemplars,
        ..Config::default()
    };
    SpanMetrics::new(config, Duration::from_secs(300), &SelfMetrics::new())
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0_u64) * 4096
}

fn held(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("span metrics");
    group.sample_size(10);
    // Filled before anything is rendered: what rendering frees would hide what they take.
    let filled = [false, true].map(|exemplars| {
        let before = resident();
        let spans = metrics(&[], exemplars);
        for first in (0..SERIES).step_by(BATCH as usize) {
            spans.take(&batch(first..first + BATCH));
        }
        let per_series = (resident() - before) / SERIES;
        let with = if exemplars { "with" } else { "without" };
        let name = format!(
            "render {SERIES} label sets {with} one exemplar each, {per_series} bytes in memory"
        );
        (name, spans)
    });
    for (name, spans) in &filled {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let parts = (0..3).filter_map(|family| spans.part(family, Format::Text));
                black_box(parts.map(|part| part.len()).sum::<usize>())
            });
        });
    }
    group.finish();
}

fn take(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("span metrics");
    group.throughput(Throughput::Elements(BATCH));
    let batch = batch(0..BATCH);
    for (name, spans) in [
        ("count spans", metrics(&[], false)),
        ("count spans, with exemplars", metrics(&[], true)),
        (
            "count spans, with exemplars and a dimension",
            metrics(&["http.request.method"], true),
        ),
    ] {
        group.bench_function(name, |bench| bench.iter(|| spans.take(&batch)));
    }
    // What every request costs before anybody reads it.
    group.bench_function("check the request, for comparison", |bench| {
        bench.iter(|| OtlpBatch::check(Signal::Traces, black_box(batch.bytes().clone())));
    });
    group.finish();
}

criterion_group!(benches, held, take);
criterion_main!(benches);
