//! From a metric to a trace.

use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, HistogramDataPoint, NumberDataPoint, number_data_point,
};
use serde_json::{Value, json};

use crate::support::{
    Prometheus, counter, exemplar, explicit, gateway, metrics, now, open_page, send, texts,
};

fn count(value: i64, exemplars: Vec<Exemplar>) -> NumberDataPoint {
    NumberDataPoint {
        start_time_unix_nano: now() - 5_000_000_000,
        time_unix_nano: now(),
        value: Some(number_data_point::Value::AsInt(value)),
        exemplars,
        ..NumberDataPoint::default()
    }
}

fn histogram(exemplars: Vec<Exemplar>) -> HistogramDataPoint {
    HistogramDataPoint {
        start_time_unix_nano: now() - 5_000_000_000,
        time_unix_nano: now(),
        count: 6,
        sum: Some(12.0),
        bucket_counts: vec![3, 2, 1],
        explicit_bounds: vec![1.0, 2.5],
        exemplars,
        ..HistogramDataPoint::default()
    }
}

#[tokio::test]
async fn prometheus_finds_the_trace_of_a_counter_and_of_each_bucket() {
    let gateway = gateway("").await;
    let prometheus = Prometheus::scraping(&gateway, "exemplar-storage");
    let time = now();
    let buckets = vec![
        exemplar(0.5, time, 1),
        exemplar(0.75, time + 1_000_000, 2),
        exemplar(2.5, time, 3),
        exemplar(100.0, time, 4),
    ];
    let request = metrics(vec![
        counter("orders", "", vec![count(3, vec![exemplar(2.0, time, 5)])]),
        explicit("took", "s", vec![histogram(buckets)]),
    ]);
    send(&gateway, "metrics", &request).await;

    let found = prometheus.exemplars("orders_total", 1).await;
    let (series, found) = &found[0];
    assert_eq!(series["__name__"], "orders_total");
    let labels = json!({"trace_id": "05".repeat(16), "span_id": "05".repeat(8)});
    assert_eq!(found["labels"], labels);
    assert_eq!(found["value"], "2");
    let seconds = found["timestamp"].as_f64().expect("a time");
    assert!((seconds - time as f64 / 1e9).abs() < 0.01);

    let mut found = prometheus.exemplars("took_seconds_bucket", 3).await;
    found.sort_by_key(|(_, exemplar)| exemplar["labels"]["trace_id"].to_string());
    let bucket = |(series, exemplar): &(Value, Value)| {
        let trace = exemplar["labels"]["trace_id"].as_str().expect("a trace");
        let bound = series["le"].as_str().expect("a bound");
        (bound.to_owned(), trace[..2].to_owned())
    };
    let found: Vec<_> = found.iter().map(bucket).collect();
    // Of two in one bucket the later one.
    let wanted = [("1.0", "02"), ("2.5", "03"), ("+Inf", "04")];
    let wanted = wanted.map(|(bound, trace)| (bound.to_owned(), trace.to_owned()));
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn attributes_are_shown_as_far_as_openmetrics_has_room() {
    let gateway = gateway("").await;
    let long = "x".repeat(100);
    let with = |attributes: &[(&str, &str)], ids: bool| {
        let mut exemplar = exemplar(1.0, 0, if ids { 1 } else { 0 });
        exemplar.filtered_attributes = texts(attributes);
        exemplar
    };
    let orders = [
        ("fits", with(&[("user.id", "an \"id\"\n")], true)),
        ("long", with(&[("long", &long), ("short", "y")], true)),
        ("alone", with(&[("long", &long)], false)),
        (
            "twice",
            with(&[("a.b", "1"), ("a_b", "2"), ("trace_id", "3")], false),
        ),
    ];
    let request = metrics(
        orders
            .map(|(name, exemplar)| counter(name, "", vec![count(1, vec![exemplar])]))
            .into(),
    );
    send(&gateway, "metrics", &request).await;
    // Nothing to say, no number, and one that no counter has room for.
    let mut useless = exemplar(1.0, 0, 0);
    useless.span_id.clear();
    let infinite = exemplar(f64::INFINITY, 0, 1);
    let request = metrics(vec![counter(
        "none",
        "",
        vec![count(1, vec![useless, infinite])],
    )]);
    send(&gateway, "metrics", &request).await;

    let families = open_page(&gateway).await;
    let of = |name: &str| {
        let family = families.iter().find(|family| family.name == name);
        let samples = &family.expect("a family").samples;
        let sample = samples
            .iter()
            .find(|sample| sample.name.ends_with("_total"));
        sample.expect("a sample").exemplar[0].clone()
    };
    let (trace, span) = ("01".repeat(16), "01".repeat(8));
    let ids = |more: (&str, &str)| json!({"trace_id": trace, "span_id": span, more.0: more.1});
    assert_eq!(of("fits"), ids(("user_id", "an \"id\"\n")));
    assert_eq!(of("long"), ids(("short", "y")));
    assert_eq!(of("alone"), json!({"long": long}));
    assert_eq!(of("twice"), json!({"a_b": "1"}));
    assert_eq!(of("none"), Value::Null);
    let counted = |result: &str| {
        let family = families
            .iter()
            .find(|family| family.name == "weir_gateway_otlp_series_exemplars");
        let samples = &family.expect("a family").samples;
        let sample = samples
            .iter()
            .find(|sample| sample.has(&[("result", result)]));
        sample.expect("a sample").value
    };
    assert_eq!((counted("taken"), counted("dropped")), (4.0, 2.0));
}
