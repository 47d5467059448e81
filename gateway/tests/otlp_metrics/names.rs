//! Names, labels, and who gets a name that two want.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValueList, any_value::Value},
    metrics::v1::{Histogram, HistogramDataPoint, Metric, Summary, SummaryDataPoint, metric::Data},
};
use weir_gateway::profile::SEMCONV;

use crate::support::{
    CUMULATIVE, Output, Verdict, attribute, counter, gauge, metric, point, promtool, request,
    scoped, sum, text,
};

fn with_unit(mut metric: Metric, unit: &str) -> Metric {
    unit.clone_into(&mut metric.unit);
    metric
}

fn histogram(name: &str, unit: &str) -> Metric {
    let point = HistogramDataPoint {
        count: 1,
        sum: Some(0.5),
        bucket_counts: vec![1, 0],
        explicit_bounds: vec![1.0],
        ..HistogramDataPoint::default()
    };
    let histogram = Histogram {
        data_points: vec![point],
        aggregation_temporality: CUMULATIVE,
    };
    metric(name, unit, Data::Histogram(histogram))
}

#[test]
fn a_metric_has_the_name_that_its_kind_and_unit_give_it() {
    let output = Output::new();
    let one = || vec![point(&[], 2, 1)];
    let summary = Data::Summary(Summary {
        data_points: vec![SummaryDataPoint::default()],
    });
    output.send([
        with_unit(
            counter("http.server.requests", CUMULATIVE, one()),
            "{request}",
        ),
        with_unit(counter("disk.io", CUMULATIVE, one()), "By"),
        with_unit(sum("queue.fill", CUMULATIVE, false, one()), "1"),
        gauge("cpu.utilization", "1", one()),
        gauge("room.temperature", "Cel", one()),
        histogram("http.server.request.duration", "s"),
        metric("rpc.latency", "s", summary),
    ]);
    let page = output.page();
    let types: Vec<(&str, &str)> = page
        .types
        .iter()
        .map(|(name, kind)| (name.as_str(), kind.as_str()))
        .collect();
    assert_eq!(
        types,
        [
            ("cpu_utilization_ratio", "gauge"),
            ("disk_io_bytes_total", "counter"),
            ("http_server_request_duration_seconds", "histogram"),
            ("http_server_requests_total", "counter"),
            ("queue_fill", "gauge"),
            ("room_temperature_celsius", "gauge"),
            ("rpc_latency_seconds", "summary"),
        ]
    );
    assert_eq!(promtool(&output.text()), Verdict::Clean);
}

#[test]
fn job_and_instance_say_which_service_it_was_and_target_info_says_the_rest() {
    let output = Output::new();
    let one = || vec![gauge("fill", "", vec![point(&[], 2, 1)])];
    let service = [
        ("service.namespace", "shop"),
        ("service.name", "cart"),
        ("service.instance.id", "a-1"),
        ("host.name", "node \"7\""),
        ("job", "of the client"),
    ];
    output.request(request(&service, one()));
    output.request(request(&[("service.name", "alone")], one()));
    output.request(request(&[("host.name", "nobody")], one()));
    let page = output.page();
    assert_eq!(
        page.one("fill", &[("job", "shop/cart"), ("instance", "a-1")]),
        1.0
    );
    assert_eq!(page.one("fill", &[("job", "alone")]), 1.0);
    assert_eq!(page.series("fill", &[]).len(), 3);
    assert_eq!(
        page.labels("target_info"),
        [
            ("exported_job", "of the client"),
            ("host_name", "node \"7\""),
            ("instance", "a-1"),
            ("job", "shop/cart"),
        ]
    );
    assert_eq!(promtool(&output.text()), Verdict::Clean);

    // One row per job and instance, with what is known last.
    let moved = [&service[..3], &[("host.name", "node 8")]].concat();
    output.request(request(&moved, one()));
    let page = output.page();
    assert_eq!(page.one("target_info", &[("host_name", "node 8")]), 1.0);
    assert_eq!(page.series("target_info", &[]).len(), 1);
    assert_eq!(output.idle(301), 3);
    assert_eq!(output.text(), "");
}

#[test]
fn the_scope_is_in_labels() {
    let output = Output::new();
    let scope = InstrumentationScope {
        name: "io.lib".to_owned(),
        version: "1.2".to_owned(),
        attributes: vec![text("channel", "beta"), text("name", "no room for it")],
        ..InstrumentationScope::default()
    };
    let own = [("otel.scope.name", "from a point")];
    let metric = gauge("fill", "", vec![point(&own, 2, 1)]);
    output.request(scoped(&[], scope, vec![metric]));
    assert_eq!(
        output.page().labels("fill"),
        [
            ("exported_otel_scope_name", "from a point"),
            ("otel_scope_channel", "beta"),
            ("otel_scope_name", "io.lib"),
            ("otel_scope_version", "1.2"),
        ]
    );
}

#[test]
fn equal_label_sets_are_one_series_however_they_are_written() {
    let output = Output::new();
    let send = |attributes: &[(&str, &str)], time, value: i64| {
        output.send([gauge("fill", "", vec![point(attributes, time, value)])]);
    };
    send(&[("b.x", "1"), ("a", "2"), ("c", "")], 2, 1);
    send(&[("a", "2"), ("b_x", "1")], 3, 2);
    send(&[("a", "0"), ("b/x", "1"), ("a", "2")], 4, 3);
    assert_eq!(output.page().labels("fill"), [("a", "2"), ("b_x", "1")]);
    assert_eq!(output.page().one("fill", &[]), 3.0);
    // Names that become equal are joined in the order of the names they had.
    send(&[("a.b", "dot"), ("a_b", "bar"), ("a-b", "dash")], 2, 7);
    assert_eq!(output.page().one("fill", &[("a_b", "dash;dot;bar")]), 7.0);
}

#[test]
fn values_that_are_no_text_become_json() {
    let output = Output::new();
    let any = |value| AnyValue { value: Some(value) };
    let list = ArrayValue {
        values: vec![
            any(Value::StringValue("a\"\n".to_owned())),
            any(Value::IntValue(-3)),
            AnyValue::default(),
            any(Value::DoubleValue(f64::NAN)),
        ],
    };
    let map = KeyValueList {
        values: vec![
            text("k\\", "v"),
            attribute("b", Value::BytesValue(b"weir".to_vec())),
        ],
    };
    let mut point = point(&[], 2, 1);
    point.attributes = vec![
        attribute("bool", Value::BoolValue(true)),
        attribute("int", Value::IntValue(i64::MIN)),
        attribute("double", Value::DoubleValue(1.0)),
        attribute("bytes", Value::BytesValue(vec![0xfb, 0xff])),
        attribute("list", Value::ArrayValue(list)),
        attribute("map", Value::KvlistValue(map)),
    ];
    output.send([gauge("fill", "", vec![point])]);
    assert_eq!(
        output.page().labels("fill"),
        [
            ("bool", "true"),
            ("bytes", "+/8="),
            ("double", "1.0"),
            ("int", "-9223372036854775808"),
            ("list", r#"["a\"\n",-3,null,"NaN"]"#),
            ("map", r#"{"k\\":"v","b":"d2Vpcg=="}"#),
        ]
    );
}

#[test]
fn text_with_any_character_arrives_unharmed() {
    let output = Output::new();
    let odd = "back\\slash \"quote\" new\nline tab\t nul\0 umlaut ü 温度 }=,{ end\\";
    let mut metric = gauge("fill", "", vec![point(&[("odd", odd)], 2, 1)]);
    metric.description = "back\\slash \"quote\"\nnew line\\n".to_owned();
    output.send([metric]);
    let page = output.page();
    assert_eq!(page.labels("fill"), [("odd", odd)]);
    assert!(
        output
            .text()
            .contains("# HELP fill back\\\\slash \"quote\"\\nnew line\\\\n\n")
    );
    assert_eq!(promtool(&output.text()), Verdict::Clean);
}

#[test]
fn labels_that_prometheus_needs_itself_are_not_hidden_by_attributes() {
    let output = Output::new();
    let attributes = [("le", "x"), ("job", "y"), ("instance", "z")];
    let mut metric = histogram("took", "s");
    if let Some(Data::Histogram(histogram)) = &mut metric.data {
        histogram.data_points[0].attributes = crate::support::texts(&attributes);
    }
    output.send([metric]);
    let page = output.page();
    assert_eq!(
        page.labels("took_seconds_count"),
        [
            ("exported_instance", "z"),
            ("exported_job", "y"),
            ("exported_le", "x"),
        ]
    );
    assert_eq!(page.one("took_seconds_bucket", &[("le", "1")]), 1.0);
    assert_eq!(promtool(&output.text()), Verdict::Clean);
}

#[test]
fn the_first_kind_and_the_first_description_win() {
    let output = Output::new();
    let described = |mut metric: Metric, description: &str| {
        description.clone_into(&mut metric.description);
        metric
    };
    let points = |value: i64| vec![point(&[], 2, value), point(&[("more", "1")], 2, value)];
    output.send([described(gauge("fill", "", points(1)), "")]);
    assert_eq!(output.page().helps["fill"], "Received over OTLP as fill.");
    output.send([described(gauge("fill", "", points(2)), "How full.")]);
    output.send([described(gauge("fill", "", points(3)), "Another.")]);
    output.send([described(gauge("fill", "", points(4)), "")]);
    output.send([histogram("fill", "")]);
    let page = output.page();
    assert_eq!(page.helps["fill"], "How full.");
    assert_eq!(page.types["fill"], "gauge");
    assert_eq!(page.one("fill", &[("more", "1")]), 4.0);
    assert_eq!(output.dropped("kind"), 1.0);
    let conflicts = "weir_gateway_otlp_series_help_conflicts_total";
    assert_eq!(output.own().one(conflicts, &[]), 1.0);

    // The name is free again when nothing is left of the first.
    assert_eq!(output.idle(301), 2);
    output.send([histogram("fill", "")]);
    assert_eq!(output.page().types["fill"], "histogram");
}

#[test]
fn no_metric_gets_in_the_way_of_another_or_of_the_gateways_own() {
    let output = Output::new();
    let flow = &SEMCONV.data_sets[0].groups[0].counters[0];
    let one = || vec![point(&[], 2, 1)];
    let own_flow = with_unit(counter(flow.name, CUMULATIVE, one()), flow.unit);
    output.send([
        own_flow,
        gauge("weir.gateway.build.info", "", one()),
        gauge("weir_agent_up", "", one()),
        gauge("target.info", "", one()),
        histogram("took", "s"),
        gauge("took_seconds_count", "", one()),
        gauge("other_bucket", "", one()),
        histogram("other", ""),
    ]);
    let names: Vec<String> = output.page().types.into_keys().collect();
    assert_eq!(names, ["other_bucket", "took_seconds"]);
    assert_eq!(output.dropped("name_taken"), 6.0);
    let whole = output.own_text() + &output.text();
    assert!(!matches!(promtool(&whole), Verdict::Unreadable(_)));
}
