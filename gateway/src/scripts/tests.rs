use std::sync::Arc;

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
        number_data_point,
    },
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;
use weir_point::{
    Category, Point, Text,
    otlp::{OtlpBatch, Signal},
};
use weir_script::Engine;

use super::{Config, Scripts, Shipped};
use crate::self_metrics::SelfMetrics;

fn scripts(shipped: &[Shipped]) -> Arc<Scripts> {
    let metrics = Arc::new(SelfMetrics::new());
    let engine = Engine::new(Vec::new());
    Scripts::new(Config::default(), engine, shipped, &metrics)
}

const fn shipped(category: Category, name: &'static str, source: &'static str) -> Shipped {
    Shipped {
        category,
        name,
        source,
    }
}

fn batch(signal: Signal, request: &impl prost::Message) -> OtlpBatch {
    OtlpBatch::check(signal, request.encode_to_vec().into()).expect("a request")
}

fn logs(bodies: usize) -> OtlpBatch {
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![LogRecord::default(); bodies],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    batch(Signal::Logs, &request)
}

fn gauges(names: &[&str]) -> OtlpBatch {
    let metric = |name: &&str| Metric {
        name: (*name).to_owned(),
        unit: "By".to_owned(),
        data: Some(Data::Gauge(Gauge {
            data_points: vec![NumberDataPoint {
                time_unix_nano: 5,
                value: Some(number_data_point::Value::AsInt(2048)),
                ..NumberDataPoint::default()
            }],
        })),
        ..Metric::default()
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: names.iter().map(metric).collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    batch(Signal::Metrics, &request)
}

fn is_same_memory(one: &OtlpBatch, other: &OtlpBatch) -> bool {
    one.bytes().as_ptr() == other.bytes().as_ptr() && one == other
}

#[test]
fn a_batch_without_a_script_for_it_is_not_even_copied() {
    let scripts = scripts(&[
        shipped(Category::Tracing, "cart", ".tags.x = \"1\""),
        shipped(Category::Metric, "disk.used", ".tags.x = \"1\""),
    ]);
    for untouched in [logs(3), gauges(&["memory.used", "cpu.time"])] {
        let after = scripts.otlp(untouched.clone());
        assert!(is_same_memory(&after, &untouched));
    }
    let spans = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![Span::default()],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    let spans = batch(Signal::Traces, &spans);
    assert!(is_same_memory(&scripts.otlp(spans.clone()), &spans));
    let flow = Point::new(Category::Network, Text::new("netflow"));
    assert_eq!(scripts.points(vec![flow.clone()]), [flow]);
}

#[test]
fn a_script_that_changes_nothing_leaves_the_bytes() {
    let scripts = scripts(&[shipped(Category::Metric, "default", "x = .name")]);
    let untouched = gauges(&["memory.used", "cpu.time"]);
    assert!(is_same_memory(&scripts.otlp(untouched.clone()), &untouched));
}

#[test]
fn a_metric_is_edited_dropped_and_added_by_its_name() {
    let scripts = scripts(&[
        shipped(
            Category::Metric,
            "disk.used",
            "emit({\"name\": \"disk.kib\", \"tags\": {\"from\": \"script\"}, \"fields\": {\"type\": \"gauge\", \
             \"unit\": \"KiBy\", \"value\": to_float!(.fields.value) / 1024}})\n.tags.disk = \"a\"",
        ),
        shipped(Category::Metric, "noise", "abort"),
    ]);
    let after = scripts.otlp(gauges(&["noise", "disk.used", "cpu.time"]));
    assert_eq!(after.items(), 3);
    let request = ExportMetricsServiceRequest::decode(&after.bytes()[..]).expect("a request");
    let all = request.resource_metrics.iter();
    let metrics: Vec<&Metric> = all
        .flat_map(|group| &group.scope_metrics)
        .flat_map(|group| &group.metrics)
        .collect();
    let names: Vec<_> = metrics.iter().map(|own| own.name.as_str()).collect();
    assert_eq!(names, ["disk.used", "cpu.time", "disk.kib"]);
    let Some(Data::Gauge(added)) = &metrics[2].data else {
        panic!("{metrics:?}");
    };
    let value = added.data_points[0].value;
    assert_eq!(value, Some(number_data_point::Value::AsDouble(2.0)));
    assert_eq!(added.data_points[0].time_unix_nano, 5);
}

#[test]
fn what_otlp_has_no_place_for_is_a_failure_of_the_script() {
    let scripts = scripts(&[
        shipped(Category::Metric, "a", ".fields.colour = \"red\""),
        shipped(Category::Metric, "b", ".tags.x = \"1\"\nemit({})"),
    ]);
    let untouched = gauges(&["a", "b"]);
    let after = scripts.otlp(untouched.clone());
    assert_eq!(after, untouched);
    let store = scripts.store();
    for (_, entry) in store.entries() {
        let counts = entry.stats.counts();
        assert_eq!((counts.points, counts.errors), (1, 1));
        assert_eq!((counts.edited, counts.emitted), (0, 0));
    }
}

#[test]
fn everything_may_be_dropped() {
    let scripts = scripts(&[shipped(Category::Logging, "default", "abort")]);
    assert_eq!(scripts.otlp(logs(3)).items(), 0);
}
