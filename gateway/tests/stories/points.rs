//! Subscribers of what comes over OTLP.

use std::{collections::BTreeMap, net::SocketAddr};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
        metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
        trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    },
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics, metric::Data,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status as SpanStatus, span::Event},
};
use tonic::{Code, transport::Channel};
use weir_gateway::RunningGateway;
use weir_proto::observe::v1::{Category, Field, Point, field::Value, subscribe_response::Message};

use crate::support::{Agent, Subscriber, eventually, flow, gateway, scrape};

const TIME: u64 = 1_700_000_000_000_000_000;

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn resource(service: &str) -> Option<Resource> {
    Some(Resource {
        attributes: vec![text("service.name", service)],
        dropped_attributes_count: 3,
        ..Resource::default()
    })
}

fn span(name: &str, route: &str) -> Span {
    Span {
        trace_id: (1..=16).collect(),
        span_id: vec![0xab; 8],
        name: name.to_owned(),
        kind: 2,
        start_time_unix_nano: TIME,
        end_time_unix_nano: TIME + 1500,
        attributes: vec![
            text("http.route", route),
            attribute("http.status", any_value::Value::IntValue(503)),
        ],
        events: vec![Event {
            time_unix_nano: TIME + 7,
            name: "retry".to_owned(),
            ..Event::default()
        }],
        status: Some(SpanStatus {
            code: 2,
            message: "gone".to_owned(),
        }),
        ..Span::default()
    }
}

fn traces(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource(service),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "shop".to_owned(),
                    version: "1.2".to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans,
                schema_url: "https://example.org/schema".to_owned(),
            }],
            ..ResourceSpans::default()
        }],
    }
}

/// A gateway with a receiver, and where that is.
async fn receiving(more: &str) -> (RunningGateway, Channel) {
    let gateway = gateway(&format!(
        "otlp_receiver: {{grpc: {{listen: '127.0.0.1:0'}}, http: {{listen: off}}}}\n{more}"
    ))
    .await;
    let otlp: SocketAddr = gateway.otlp_grpc.expect("a receiver");
    let channel = Channel::from_shared(format!("http://{otlp}")).expect("a URL");
    (gateway, channel.connect().await.expect("a gateway"))
}

async fn send(otlp: &Channel, request: ExportTraceServiceRequest) {
    let mut client = TraceServiceClient::new(otlp.clone());
    client.export(request).await.expect("accepted");
}

fn fields(fields: &[Field]) -> BTreeMap<&str, &Value> {
    let with_value = fields
        .iter()
        .filter_map(|field| Some((field.key.as_str(), field.value.as_ref()?)));
    with_value.collect()
}

fn tag<'a>(point: &'a Point, key: &str) -> &'a str {
    let tag = point.tags.iter().find(|tag| tag.key == key);
    &tag.expect("a tag").value
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[tokio::test]
async fn a_subscriber_of_traces_gets_spans_as_the_page_about_points_says() {
    let (gateway, otlp) = receiving("").await;
    let mut subscriber = Subscriber::connect_to(gateway.flow, &[Category::Tracing], &[]).await;
    send(&otlp, traces("cart", vec![span("GET /cart", "/cart")])).await;

    let point = subscriber.points(1).await.remove(0);
    assert_eq!(point.category(), Category::Tracing);
    assert_eq!(point.name, "GET /cart");
    assert_eq!(
        (point.start_time_unix_nano, point.time_unix_nano),
        (TIME, TIME + 1500)
    );
    assert_eq!(tag(&point, "http.route"), "/cart");
    let read = fields(&point.fields);
    let hex = "0102030405060708090a0b0c0d0e0f10";
    assert_eq!(*read["trace_id"], string(hex));
    assert_eq!(*read["span_id"], string("abababababababab"));
    assert_eq!(*read["kind"], string("server"));
    assert_eq!(*read["status_code"], string("error"));
    assert_eq!(*read["status_message"], string("gone"));
    assert_eq!(*read["duration"], Value::Int(1500));
    assert!(!read.contains_key("parent_span_id"));
    let Value::Map(attributes) = read["attributes"] else {
        panic!("no map: {read:?}");
    };
    assert_eq!(*fields(&attributes.fields)["http.status"], Value::Int(503));
    let Value::List(events) = read["events"] else {
        panic!("no list: {read:?}");
    };
    let Some(Value::Map(event)) = &events.values[0].value else {
        panic!("no map: {events:?}");
    };
    assert_eq!(*fields(&event.fields)["name"], string("retry"));

    let resource = point.resource.expect("a resource");
    assert_eq!(
        *fields(&resource.attributes)["service.name"],
        string("cart")
    );
    assert_eq!(resource.dropped_attributes_count, 3);
    let scope = point.scope.expect("a scope");
    assert_eq!(
        (scope.name.as_str(), scope.version.as_str()),
        ("shop", "1.2")
    );
    assert_eq!(scope.schema_url, "https://example.org/schema");
}

#[tokio::test]
async fn metrics_and_logs_come_to_those_who_ask_for_them_and_to_nobody_else() {
    let (gateway, otlp) = receiving("").await;
    let mut flows = Subscriber::connect(gateway.flow, &[]).await;
    let both = [Category::Metric, Category::Logging, Category::Metric];
    let mut subscriber = Subscriber::connect_to(gateway.flow, &both, &[]).await;
    send(&otlp, traces("cart", vec![span("nobody", "/")])).await;
    let point = HistogramDataPoint {
        count: 7,
        sum: Some(1.5),
        bucket_counts: vec![3, 4],
        explicit_bounds: vec![0.25],
        time_unix_nano: TIME,
        ..HistogramDataPoint::default()
    };
    let metrics = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![Metric {
                    name: "latency".to_owned(),
                    unit: "s".to_owned(),
                    data: Some(Data::Histogram(Histogram {
                        data_points: vec![point],
                        aggregation_temporality: 1,
                    })),
                    ..Metric::default()
                }],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    let mut client = MetricsServiceClient::new(otlp.clone());
    client.export(metrics).await.expect("accepted");
    let body = any_value::Value::ArrayValue(ArrayValue {
        values: vec![
            AnyValue { value: None },
            AnyValue {
                value: Some(any_value::Value::BytesValue(vec![1, 2])),
            },
        ],
    });
    let logs = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![LogRecord {
                    severity_number: 9,
                    body: Some(AnyValue { value: Some(body) }),
                    event_name: "login".to_owned(),
                    ..LogRecord::default()
                }],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    let mut client = LogsServiceClient::new(otlp.clone());
    client.export(logs).await.expect("accepted");
    Agent::connect(gateway.flow, "a", 1)
        .await
        .deliver(1, vec![flow(443)])
        .await;

    let points = subscriber.points(2).await;
    let histogram = fields(&points[0].fields);
    assert_eq!(points[0].name, "latency");
    assert_eq!(*histogram["type"], string("histogram"));
    assert_eq!(*histogram["temporality"], string("delta"));
    assert_eq!(*histogram["unit"], string("s"));
    assert_eq!(*histogram["count"], Value::Int(7));
    assert_eq!(*histogram["sum"], Value::Float(1.5));
    assert_eq!(points[1].name, "login");
    let record = fields(&points[1].fields);
    assert_eq!(*record["severity_number"], Value::Int(9));
    let Value::List(list) = record["body"] else {
        panic!("no list: {record:?}");
    };
    let values: Vec<_> = list.values.iter().map(|own| own.value.clone()).collect();
    assert_eq!(values, [None, Some(Value::Bytes(vec![1, 2]))]);

    assert_eq!(flows.points(1).await[0].name, "netflow");
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(metrics.ledger("subscription"), (3.0, 3.0, 0.0));
}

#[tokio::test]
async fn filters_read_tags_names_and_attributes_of_the_resource() {
    let (gateway, otlp) = receiving("").await;
    let connect = |filters: &'static [(&'static str, &'static str)]| {
        Subscriber::connect_to(gateway.flow, &[Category::Tracing], filters)
    };
    let mut by_tag = connect(&[("http.route", "/b")]).await;
    let mut by_name = connect(&[("name", "one")]).await;
    let mut by_resource = connect(&[("resource.service.name", "cart")]).await;
    let mut by_all = connect(&[("resource.service.name", "shop"), ("http.route", "/b")]).await;
    let _none = connect(&[("service.name", "cart")]).await;
    let spans = |service| traces(service, vec![span("one", "/a"), span("two", "/b")]);
    send(&otlp, spans("cart")).await;
    send(&otlp, spans("shop")).await;

    let names = |points: Vec<Point>| -> Vec<String> {
        points.into_iter().map(|point| point.name).collect()
    };
    assert_eq!(names(by_tag.points(2).await), ["two", "two"]);
    assert_eq!(names(by_name.points(2).await), ["one", "one"]);
    assert_eq!(names(by_resource.points(2).await), ["one", "two"]);
    let points = by_all.points(1).await;
    let resource = points[0].resource.as_ref().expect("a resource");
    assert_eq!(
        *fields(&resource.attributes)["service.name"],
        string("shop")
    );
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(metrics.ledger("subscription"), (7.0, 7.0, 0.0));
}

#[tokio::test]
async fn a_category_that_does_not_exist_is_refused() {
    let (gateway, _) = receiving("").await;
    for number in [0, 5, -1] {
        let refused = Subscriber::try_connect_to(gateway.flow, &[number], &[]).await;
        assert_eq!(
            refused.err().expect("refused").code(),
            Code::InvalidArgument
        );
    }
    let metrics = scrape(gateway.prometheus).await;
    let refused = "weir_gateway_subscriptions_refused_total";
    assert_eq!(metrics.one(refused, &[("cause", "category")]), 3.0);
}

#[tokio::test]
async fn a_slow_subscriber_of_spans_is_told_what_it_missed_and_slows_no_sdk() {
    let (gateway, otlp) = receiving("subscription: {queue: 500}").await;
    let mut slow = Subscriber::connect_to(
        gateway.flow,
        &[Category::Tracing],
        &[("http.route", "/slow")],
    )
    .await;
    let rounds = 100;
    for _ in 0..rounds {
        let mut spans = vec![span("slow", "/slow"); 100];
        spans.push(span("other", "/other"));
        send(&otlp, traces("cart", spans)).await;
    }
    let full = [("output", "subscription"), ("cause", "queue_full")];
    let metrics = scrape(gateway.prometheus).await;
    let dropped = metrics.one("weir_gateway_output_points_dropped_total", &full);
    assert!(dropped > 0.0);

    let (mut got, mut lost) = (0, 0);
    while got + lost < rounds * 100 {
        match slow.message().await.expect("an open stream") {
            Message::Batch(batch) => got += batch.points.len() as u64,
            Message::Lost(message) => lost += message.points,
        }
    }
    assert_eq!(got + lost, rounds * 100);
    assert_eq!(lost as f64, dropped);
    eventually!({
        let (offered, delivered, dropped) = scrape(gateway.prometheus).await.ledger("subscription");
        offered == 10_000.0 && offered == delivered + dropped
    });
}
