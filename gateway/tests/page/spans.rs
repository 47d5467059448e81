//! Metrics made of spans that came through the receiver.

use std::collections::BTreeMap;

use fastrand::Rng;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status},
};
use weir_gateway::RunningGateway;

use crate::support::{
    Family, Prometheus, Sample, gateway, metrics, now, open_page, resource, send, texts,
};

const CALLS: &str = "traces_span_metrics_calls";
const ERRORS: &str = "traces_span_metrics_errors";
const DURATION: &str = "traces_span_metrics_duration_seconds";
const MS: u64 = 1_000_000;

const KINDS: [&str; 6] = [
    "UNSPECIFIED",
    "INTERNAL",
    "SERVER",
    "CLIENT",
    "PRODUCER",
    "CONSUMER",
];
const STATUSES: [&str; 3] = ["UNSET", "OK", "ERROR"];

fn span(name: &str, kind: i32, code: i32, took: u64) -> Span {
    let end = now();
    Span {
        trace_id: vec![7; 16],
        span_id: vec![8; 8],
        name: name.to_owned(),
        kind,
        start_time_unix_nano: end - took,
        end_time_unix_nano: end,
        status: Some(Status {
            code,
            ..Status::default()
        }),
        ..Span::default()
    }
}

fn request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let about = [
        ("service.name", service),
        ("deployment.environment.name", "test"),
    ];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource(&about),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

/// The samples `name` of the page.
fn samples<'a>(families: &'a [Family], name: &str) -> Vec<&'a Sample> {
    let all = families.iter().flat_map(|family| &family.samples);
    all.filter(|sample| sample.name == name).collect()
}

fn sum(families: &[Family], name: &str, labels: &[(&str, &str)]) -> f64 {
    let all = samples(families, name).into_iter();
    all.filter(|sample| sample.has(labels))
        .map(|sample| sample.value)
        .sum()
}

fn one(families: &[Family], name: &str, labels: &[(&str, &str)]) -> f64 {
    let all = samples(families, name).into_iter();
    let found: Vec<_> = all.filter(|sample| sample.has(labels)).collect();
    assert_eq!(found.len(), 1, "{name}{labels:?}: {found:#?}");
    found[0].value
}

async fn counting(more: &str) -> RunningGateway {
    gateway(&format!("span_metrics: {{enabled: true{more}}}")).await
}

#[tokio::test]
async fn calls_errors_and_durations_are_those_of_the_spans_sent() {
    let gateway = counting("").await;
    let mut rng = Rng::with_seed(3);
    let mut sent = BTreeMap::<(usize, usize, usize, usize), Vec<u64>>::new();
    let (services, names) = (
        ["cart", "pay \"now\"", "größe"],
        ["GET /", "POST /x", "a\nb", ""],
    );
    for _ in 0..30 {
        let service = rng.usize(..services.len());
        let mut spans = Vec::new();
        for _ in 0..rng.usize(..40) {
            let (name, kind, status) = (rng.usize(..names.len()), rng.usize(..6), rng.usize(..3));
            let took = rng.u64(..20_000) * MS;
            spans.push(span(names[name], kind as i32, status as i32, took));
            sent.entry((service, name, kind, status))
                .or_default()
                .push(took);
        }
        send(&gateway, "traces", &request(services[service], spans)).await;
    }
    let families = open_page(&gateway).await;
    let total: usize = sent.values().map(Vec::len).sum();
    assert_eq!(sum(&families, &format!("{CALLS}_total"), &[]), total as f64);
    assert_eq!(
        samples(&families, &format!("{CALLS}_total")).len(),
        sent.len()
    );
    for ((service, name, kind, status), took) in sent {
        let (kind, code) = (KINDS[kind], STATUSES[status]);
        let (kind, code) = (format!("SPAN_KIND_{kind}"), format!("STATUS_CODE_{code}"));
        let mut labels = vec![
            ("service_name", services[service]),
            ("span_name", names[name]),
            ("span_kind", kind.as_str()),
            ("status_code", code.as_str()),
        ];
        // Prometheus has no empty labels.
        labels.retain(|(_, value)| !value.is_empty());
        let of = |sample: &Sample| {
            sample.has(&labels) && (!names[name].is_empty() || sample.labels["span_name"].is_null())
        };
        let the = |name: &str| {
            let all = samples(&families, name).into_iter();
            all.filter(|sample| of(sample))
                .map(|sample| sample.value)
                .sum::<f64>()
        };
        let count = took.len() as f64;
        assert_eq!(the(&format!("{CALLS}_total")), count, "{labels:?}");
        let errors = if status == 2 { count } else { 0.0 };
        assert_eq!(the(&format!("{ERRORS}_total")), errors, "{labels:?}");
        assert_eq!(the(&format!("{DURATION}_count")), count);
        let seconds = took.iter().sum::<u64>() as f64 / 1e9;
        assert_eq!(the(&format!("{DURATION}_sum")), seconds);
        let buckets = samples(&families, &format!("{DURATION}_bucket")).into_iter();
        let buckets: Vec<_> = buckets.filter(|sample| of(sample)).collect();
        assert_eq!(buckets.len(), 17);
        for bucket in buckets {
            let bound: f64 = bucket.labels["le"]
                .as_str()
                .expect("a bound")
                .parse()
                .expect("one");
            let below = took
                .iter()
                .filter(|took| **took as f64 <= bound * 1e9)
                .count();
            assert_eq!(bucket.value, below as f64, "up to {bound}");
        }
    }
}

#[tokio::test]
async fn dimensions_come_from_the_span_or_else_from_the_resource() {
    let gateway = counting(
        ", dimensions: [deployment.environment.name, http.response.status_code], buckets: [1s], exemplars: false",
    )
    .await;
    let with = |attributes: &[(&str, &str)]| Span {
        attributes: texts(attributes),
        ..span("GET /", 2, 0, 5 * MS)
    };
    let spans = vec![
        with(&[]),
        with(&[("http.response.status_code", "200")]),
        with(&[("deployment.environment.name", "own"), ("other", "x")]),
    ];
    send(&gateway, "traces", &request("cart", spans)).await;
    let families = open_page(&gateway).await;
    let environment = "deployment_environment_name";
    let calls = format!("{CALLS}_total");
    assert_eq!(sum(&families, &calls, &[(environment, "test")]), 2.0);
    assert_eq!(one(&families, &calls, &[(environment, "own")]), 1.0);
    assert_eq!(
        one(&families, &calls, &[("http_response_status_code", "200")]),
        1.0
    );
    assert_eq!(samples(&families, &format!("{DURATION}_bucket")).len(), 6);
    assert!(
        samples(&families, &calls)
            .iter()
            .all(|sample| sample.labels["other"].is_null())
    );
    let exemplars = samples(&families, &format!("{DURATION}_bucket"));
    assert!(exemplars.iter().all(|sample| sample.exemplar.is_null()));
}

#[tokio::test]
async fn past_the_budget_each_service_keeps_its_total() {
    let gateway = counting(", series_budget: 3").await;
    let spans = |count: u64, status| {
        let name = |number| format!("GET /user/{number}");
        (0..count)
            .map(|number| span(&name(number), 2, status, 5 * MS))
            .collect()
    };
    send(&gateway, "traces", &request("cart", spans(10, 0))).await;
    send(&gateway, "traces", &request("pay", spans(7, 2))).await;
    send(&gateway, "traces", &request("cart", spans(4, 0))).await;
    let families = open_page(&gateway).await;
    let calls = format!("{CALLS}_total");
    assert_eq!(sum(&families, &calls, &[("service_name", "cart")]), 14.0);
    assert_eq!(sum(&families, &calls, &[("service_name", "pay")]), 7.0);
    let other = |service| [("service_name", service), ("span_name", "~other")];
    assert_eq!(one(&families, &calls, &other("cart")), 8.0);
    assert_eq!(one(&families, &calls, &other("pay")), 7.0);
    assert_eq!(
        one(&families, &format!("{ERRORS}_total"), &other("pay")),
        7.0
    );
    assert_eq!(
        one(&families, &format!("{DURATION}_count"), &other("cart")),
        8.0
    );
    let own = "weir_gateway_span_metrics";
    let spans = format!("{own}_spans_total");
    assert_eq!(one(&families, &spans, &[("result", "taken")]), 6.0);
    assert_eq!(one(&families, &spans, &[("result", "folded")]), 15.0);
    assert_eq!(one(&families, &format!("{own}_label_sets"), &[]), 3.0);
}

#[tokio::test]
async fn however_many_services_and_long_names_come_every_span_is_counted() {
    let gateway = counting(", series_budget: 10").await;
    let long = "x".repeat(10_000);
    for number in 0..1100 {
        let name = if number % 100 == 0 {
            long.as_str()
        } else {
            "GET /"
        };
        let service = format!("service-{number}");
        send(
            &gateway,
            "traces",
            &request(&service, vec![span(name, 2, 0, 0)]),
        )
        .await;
    }
    send(
        &gateway,
        "traces",
        &request(&long, vec![span("GET /", 2, 0, 0)]),
    )
    .await;
    let families = open_page(&gateway).await;
    let calls = format!("{CALLS}_total");
    assert_eq!(sum(&families, &calls, &[]), 1101.0);
    // 10 of their own, 1000 services with the rest of each, and one for all others.
    assert_eq!(samples(&families, &calls).len(), 1011);
    let rest = one(&families, &calls, &[("service_name", "~other")]);
    assert!((90.0..=91.0).contains(&rest), "{rest}");
}

#[tokio::test]
async fn a_slow_request_leads_to_its_trace_in_a_real_prometheus() {
    let gateway = counting("").await;
    let prometheus = Prometheus::scraping(&gateway, "exemplar-storage");
    let spans = vec![span("GET /", 2, 0, 3 * MS), span("GET /", 2, 0, 1_200 * MS)];
    send(&gateway, "traces", &request("cart", spans)).await;
    let calls = "traces_span_metrics_calls_total{service_name=\"cart\",span_kind=\"SPAN_KIND_SERVER\",status_code=\"STATUS_CODE_UNSET\"}";
    assert_eq!(prometheus.one(calls).await, 2.0);
    let found = prometheus.exemplars("traces_span_metrics_duration_seconds_bucket{le=\"1.4\"}", 1);
    let (_, found) = &found.await[0];
    assert_eq!(found["labels"]["trace_id"], "07".repeat(16));
    assert_eq!(found["value"], "1.2");
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_no_negative_duration() {
    let gateway = counting("").await;
    let mut back = span("GET /", 2, 0, 0);
    back.start_time_unix_nano = back.end_time_unix_nano + 1;
    send(&gateway, "traces", &request("cart", vec![back])).await;
    let families = open_page(&gateway).await;
    assert_eq!(one(&families, &format!("{DURATION}_sum"), &[]), 0.0);
    assert_eq!(
        one(&families, &format!("{DURATION}_bucket"), &[("le", "0.002")]),
        1.0
    );
}

#[tokio::test]
async fn idle_label_sets_go() {
    let gateway =
        gateway("{span_metrics: {enabled: true}, prometheus: {idle_expiry: 200ms}}").await;
    send(
        &gateway,
        "traces",
        &request("cart", vec![span("GET /", 2, 0, MS)]),
    )
    .await;
    let expired = "weir_gateway_span_metrics_label_sets_expired_total";
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while one(&open_page(&gateway).await, expired, &[]) == 0.0 {
        assert!(std::time::Instant::now() < deadline, "never");
    }
    let families = open_page(&gateway).await;
    assert_eq!(samples(&families, &format!("{CALLS}_total")).len(), 0);
}

#[tokio::test]
async fn without_the_section_spans_are_not_counted_and_the_names_are_free() {
    let gateway = gateway("").await;
    send(
        &gateway,
        "traces",
        &request("cart", vec![span("GET /", 2, 0, MS)]),
    )
    .await;
    // A Collector in front of the gateway counts already.
    let from_collector = crate::support::counter(
        "traces.span.metrics.calls",
        "",
        vec![opentelemetry_proto::tonic::metrics::v1::NumberDataPoint {
            time_unix_nano: now(),
            value: Some(
                opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsInt(5),
            ),
            ..Default::default()
        }],
    );
    send(&gateway, "metrics", &metrics(vec![from_collector])).await;
    let families = open_page(&gateway).await;
    assert_eq!(one(&families, &format!("{CALLS}_total"), &[]), 5.0);
}
