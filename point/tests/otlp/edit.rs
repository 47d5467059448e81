//! What an edit changes in a request, and what it leaves alone; prost is the judge.

use std::sync::Arc;

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{self as common, any_value},
    metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data},
    resource::v1 as proto,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Event},
};
use prost::Message as _;
use weir_point::{
    Category, Point, Table, Text, Value,
    otlp::{Encoder, OtlpBatch, Resource, Signal},
};

use crate::check::check;

fn text(key: &str, value: &str) -> common::KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: any_value::Value) -> common::KeyValue {
    common::KeyValue {
        key: key.to_owned(),
        value: Some(common::AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

fn int(key: &str, value: i64) -> common::KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn span(name: &str) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: vec![8; 8],
        name: name.to_owned(),
        kind: 77,
        start_time_unix_nano: 5,
        end_time_unix_nano: 9,
        attributes: vec![text("z", "1"), int("n", 2), text("a", "3"), text("z", "4")],
        events: vec![
            Event {
                name: "one".to_owned(),
                ..Event::default()
            },
            Event {
                name: "two".to_owned(),
                ..Event::default()
            },
        ],
        status: Some(Status {
            code: 2,
            message: "gone".to_owned(),
        }),
        ..Span::default()
    }
}

fn request(services: &[(&str, &[&str])]) -> ExportTraceServiceRequest {
    let resource_spans = services.iter().map(|(service, spans)| ResourceSpans {
        resource: Some(proto::Resource {
            attributes: vec![text("service.name", service)],
            ..Default::default()
        }),
        scope_spans: vec![ScopeSpans {
            spans: spans.iter().map(|name| span(name)).collect(),
            schema_url: "https://example.org".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    });
    ExportTraceServiceRequest {
        resource_spans: resource_spans.collect(),
    }
}

fn batch(request: &ExportTraceServiceRequest) -> OtlpBatch {
    check(Signal::Traces, &request.encode_to_vec()).expect("a request")
}

fn points(batch: &OtlpBatch) -> Vec<Point> {
    batch.points().map(|point| point.to_point()).collect()
}

/// Decoded again; and checked as what comes from a client is.
fn encoded(points: &[Point]) -> ExportTraceServiceRequest {
    let batch = OtlpBatch::encode(Signal::Traces, points).expect("spans");
    let checked = OtlpBatch::check(Signal::Traces, batch.bytes().clone()).expect("a request");
    assert_eq!(checked.items(), batch.items());
    ExportTraceServiceRequest::decode(batch.bytes().clone()).expect("a request")
}

const fn key(key: &'static str) -> Text {
    Text::new_static(key)
}

#[test]
fn attributes_change_in_place_go_and_come_and_the_others_keep_their_order() {
    let before = request(&[("cart", &["x"])]);
    let edited = |edit: fn(&mut Point)| {
        let mut points = points(&batch(&before));
        edit(&mut points[0]);
        assert!(points[0].is_edited());
        encoded(&points).resource_spans[0].scope_spans[0].spans[0].clone()
    };
    let with = |attributes: Vec<common::KeyValue>| Span {
        attributes,
        ..span("x")
    };
    // What came twice and is changed is there once; what is not changed stays as it was.
    assert_eq!(
        edited(|point| drop(point.tags.set(key("z"), key("new")))),
        with(vec![text("z", "new"), int("n", 2), text("a", "3")])
    );
    assert_eq!(
        edited(|point| drop(point.tags.remove("a"))),
        with(vec![text("z", "1"), int("n", 2), text("z", "4")])
    );
    assert_eq!(
        edited(|point| drop(point.tags.set(key("b"), key("new")))),
        with([&span("x").attributes[..], &[text("b", "new")]].concat())
    );
    assert_eq!(
        edited(|point| {
            let attributes: Table<Value> = [(key("n"), Value::Bool(true)), (key("m"), Value::Null)]
                .into_iter()
                .collect();
            point.fields.set(key("attributes"), attributes);
        }),
        with(vec![
            text("z", "1"),
            attribute("n", any_value::Value::BoolValue(true)),
            text("a", "3"),
            text("z", "4"),
            common::KeyValue {
                key: "m".to_owned(),
                value: Some(common::AnyValue { value: None }),
                ..Default::default()
            },
        ])
    );
}

#[test]
fn every_other_field_of_a_span_can_be_edited() {
    let mut points = points(&batch(&request(&[("cart", &["x"])])));
    let point = &mut points[0];
    assert_eq!(point.fields.get("kind"), Some(&Value::Int(77)));
    assert_eq!(point.fields.get("duration"), Some(&Value::Int(4)));
    point.name = key("y");
    point.time = 19;
    point.fields.set(key("kind"), key("client"));
    point
        .fields
        .set(key("parent_span_id"), key("0123456789ABCDEF"));
    point.fields.set(key("flags"), 3);
    point.fields.remove("status_message");
    let Some(Value::List(events)) = point.fields.get_mut("events") else {
        panic!("no events");
    };
    let Value::Map(event) = &mut events[1] else {
        panic!("no event");
    };
    event.set(key("name"), key("TWO"));
    let mut wanted = request(&[("cart", &["x"])]);
    let own = &mut wanted.resource_spans[0].scope_spans[0].spans[0];
    own.name = "y".to_owned();
    own.end_time_unix_nano = 19;
    own.kind = 3;
    own.parent_span_id = vec![0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
    own.flags = 3;
    own.status = Some(Status {
        code: 2,
        message: String::new(),
    });
    own.events[1].name = "TWO".to_owned();
    assert_eq!(encoded(&points), wanted);
}

#[test]
fn unknown_fields_survive_an_edit_beside_them() {
    let unknown: &[u8] = &[0xa2, 0x1f, 2, b'h', b'i'];
    let with_unknown = |message: Vec<u8>| [&message[..], unknown].concat();
    let field = |number: u32, message: &[u8]| {
        let mut out = Vec::new();
        prost::encoding::bytes::encode(number, &message.to_vec(), &mut out);
        out
    };
    let event = field(11, &with_unknown(span("x").events[0].encode_to_vec()));
    let plain = Span {
        events: Vec::new(),
        ..span("x")
    };
    let span = with_unknown([plain.encode_to_vec(), event].concat());
    let scope = with_unknown(field(2, &span));
    let resource = with_unknown(field(2, &scope));
    let bytes = with_unknown(field(1, &resource));
    let mut points = points(&check(Signal::Traces, &bytes).expect("a request"));
    points[0].tags.set(key("a"), key("4"));
    let Some(Value::List(events)) = points[0].fields.get_mut("events") else {
        panic!("no events");
    };
    let Value::Map(event) = &mut events[0] else {
        panic!("no event");
    };
    event.set(key("name"), key("ONE"));
    let after = OtlpBatch::encode(Signal::Traces, &points).expect("a span");
    let mut wanted = bytes.clone();
    let at = |what: &[u8], bytes: &[u8]| {
        let found = bytes.windows(what.len()).position(|part| part == what);
        found.expect("in the request")
    };
    let place = at(b"\x0a\x01a\x12\x03\x0a\x013", &wanted);
    wanted[place + 7] = b'4';
    let place = at(b"\x03one", &wanted);
    wanted[place + 1..place + 4].copy_from_slice(b"ONE");
    assert_eq!(after.bytes(), &wanted);
}

#[test]
fn a_group_goes_with_the_last_of_its_points() {
    let before = request(&[("a", &["1", "2"]), ("b", &["3"]), ("c", &["4", "5"])]);
    let mut points = points(&batch(&before));
    points.remove(2);
    points.remove(0);
    assert_eq!(
        encoded(&points),
        request(&[("a", &["2"]), ("c", &["4", "5"])])
    );
    assert_eq!(encoded(&[]), ExportTraceServiceRequest::default());

    let batch = batch(&before);
    let mut encoder = Encoder::new(Signal::Traces);
    batch
        .points()
        .skip(2)
        .take(1)
        .for_each(|point| encoder.keep(&point));
    let third = encoder.finish();
    assert_eq!(third.items(), 1);
    assert_eq!(third.bytes()[..], request(&[("b", &["3"])]).encode_to_vec());
}

#[test]
fn points_that_are_added_or_moved_come_behind_and_share_their_resource() {
    let mut points = points(&batch(&request(&[("a", &["1", "2"]), ("b", &["3"])])));
    let resource = points[0].resource.clone().expect("a resource");
    let mut attributes = resource.attributes();
    attributes.set(key("service.name"), Value::Text(key("moved")));
    attributes.set(key("zone"), 7);
    let moved = Arc::new(resource.with_attributes(&attributes).expect("a resource"));
    points[0].resource = Some(Arc::clone(&moved));
    assert!(points[0].is_edited());
    let mut new = Point::new(Category::Tracing, key("new"));
    new.resource = Some(moved);
    new.scope = points[0].scope.clone();
    new.tags.set(key("k"), key("v"));
    new.fields.set(key("trace_id"), key("00ff"));
    points.insert(1, new);

    let mut wanted = request(&[("a", &["2"]), ("b", &["3"]), ("moved", &["1"])]);
    let last = &mut wanted.resource_spans[2];
    let own = last.resource.as_mut().expect("a resource");
    own.attributes.push(int("zone", 7));
    last.scope_spans[0].spans.push(Span {
        trace_id: vec![0, 0xff],
        name: "new".to_owned(),
        attributes: vec![text("k", "v")],
        ..Span::default()
    });
    assert_eq!(encoded(&points), wanted);
}

#[test]
fn a_metric_is_another_one_for_points_that_change_it() {
    let point = |value| NumberDataPoint {
        time_unix_nano: value,
        ..NumberDataPoint::default()
    };
    let metric = |name: &str, unit: &str, times: &[u64]| Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        description: "d".to_owned(),
        data: Some(Data::Gauge(Gauge {
            data_points: times.iter().map(|time| point(*time)).collect(),
        })),
        ..Metric::default()
    };
    let request = |metrics: Vec<Vec<Metric>>| ExportMetricsServiceRequest {
        resource_metrics: metrics
            .into_iter()
            .map(|metrics| ResourceMetrics {
                scope_metrics: vec![ScopeMetrics {
                    metrics,
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            })
            .collect(),
    };
    let before = request(vec![vec![metric("m", "s", &[1, 2, 3, 4])]]);
    let batch = check(Signal::Metrics, &before.encode_to_vec()).expect("a request");
    let mut points = points(&batch);
    for point in &mut points[1..3] {
        point.name = key("n");
        point.fields.set(key("unit"), key("ms"));
    }
    points[3].tags.set(key("k"), key("v"));
    let mut kept = metric("m", "s", &[1, 4]);
    let Some(Data::Gauge(gauge)) = &mut kept.data else {
        unreachable!();
    };
    gauge.data_points[1].attributes = vec![text("k", "v")];
    let encoded = OtlpBatch::encode(Signal::Metrics, &points).expect("points");
    assert_eq!(
        ExportMetricsServiceRequest::decode(encoded.bytes().clone()).expect("a request"),
        request(vec![vec![kept], vec![metric("n", "ms", &[2, 3])]])
    );
}

#[test]
fn a_field_that_otlp_has_no_place_for_is_named() {
    let refused = |edit: fn(&mut Point)| {
        let mut point = points(&batch(&request(&[("a", &["1"])]))).remove(0);
        edit(&mut point);
        let error = OtlpBatch::encode(Signal::Traces, [&point]).expect_err("refused");
        error.to_string()
    };
    assert_eq!(
        refused(|point| drop(point.fields.set(key("colour"), key("red")))),
        "`colour` of a Point is not known"
    );
    assert_eq!(
        refused(|point| drop(point.fields.set(key("trace_id"), key("xyz")))),
        "`trace_id` of a Point is not hexadecimal"
    );
    assert_eq!(
        refused(|point| drop(point.fields.set(key("kind"), 1 << 40))),
        "`kind` of a Point is out of range"
    );
    assert_eq!(
        refused(|point| point.category = Category::Network),
        "`category` of a Point is another one"
    );
    assert_eq!(
        refused(|point| {
            let deep = (0..200).fold(Value::Null, |value, _| Value::List(vec![value]));
            let attributes: Table<Value> = [(key("deep"), deep)].into_iter().collect();
            point.fields.set(key("attributes"), attributes);
        }),
        "`deep` of a Point is nested too deeply"
    );
    let metric = Point::new(Category::Metric, key("m"));
    let error = OtlpBatch::encode(Signal::Metrics, [&metric]).expect_err("no kind");
    assert_eq!(error.field(), "type");
}

#[test]
fn a_resource_can_be_made_of_nothing() {
    let attributes: Table<Value> = [(key("service.name"), Value::Text(key("a")))]
        .into_iter()
        .collect();
    let mut point = Point::new(Category::Logging, key("event"));
    point.fields.set(key("body"), key("hello"));
    point.resource = Some(Arc::new(
        Resource::new(&attributes, "https://example.org").expect("a resource"),
    ));
    let batch = OtlpBatch::encode(Signal::Logs, [&point]).expect("a log record");
    let read = ExportLogsServiceRequest::decode(batch.bytes().clone()).expect("a request");
    let own = &read.resource_logs[0];
    assert_eq!(own.schema_url, "https://example.org");
    let resource = own.resource.as_ref().expect("a resource");
    assert_eq!(resource.attributes, [text("service.name", "a")]);
    assert_eq!(own.scope_logs[0].log_records[0].event_name, "event");
}
