//! Scripts on what comes over OTLP.

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::{AnyValue, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};

use super::write;
use crate::support::{Metrics, Sink, eventually, gateway, scrape, text};

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

fn spans(service: &str, names: &[&str]) -> ResourceSpans {
    let span = |name: &&str| Span {
        trace_id: vec![7; 16],
        span_id: vec![8; 8],
        name: (*name).to_owned(),
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_000_001_000,
        attributes: vec![
            attribute("url.path", "/cart/77"),
            attribute("user.email", "a@b.example"),
        ],
        ..Span::default()
    };
    ResourceSpans {
        resource: Some(Resource {
            attributes: vec![attribute("service.name", service)],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            spans: names.iter().map(span).collect(),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

#[tokio::test]
async fn spans_are_edited_by_the_script_of_their_service_and_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        "tracing/cart.vrl",
        r#"
        if .name == "GET /healthz" { abort }
        del(.tags."user.email")
        .tags."http.route" = "/cart/*"
        .tags."seen.in" = .resource."service.name"
        "#,
    );
    let sink = Sink::start().await;
    let gateway = gateway(&format!(
        "scripts: {{folder: '{}'}}\n\
         otlp_receiver: {{grpc: {{listen: '127.0.0.1:0'}}, http: {{listen: off}}}}\n\
         otlp_exporters: {{main: {{endpoint: 'http://{}'}}}}\n",
        folder.path().display(),
        sink.address
    ))
    .await;
    let otlp = format!("http://{}", gateway.otlp_grpc.expect("a receiver"));
    let mut client = TraceServiceClient::connect(otlp).await.expect("a gateway");
    let other = spans("pay", &["POST /pay", "GET /healthz"]);
    let request = ExportTraceServiceRequest {
        resource_spans: vec![
            spans("cart", &["GET /cart", "GET /healthz"]),
            other.clone(),
            spans("cart", &["GET /healthz"]),
        ],
    };
    client.export(request).await.expect("accepted");

    eventually!(sink.spans().len() == 3);
    let received = sink.spans();
    let (resource, cart) = &received[0];
    assert_eq!(resource["service.name"], "cart");
    assert_eq!(cart.name, "GET /cart");
    let tags = text(&cart.attributes);
    assert_eq!(tags["http.route"], "/cart/*");
    assert_eq!(tags["seen.in"], "cart");
    assert!(!tags.contains_key("user.email"));
    let untouched: Vec<Span> = received[1..].iter().map(|(_, span)| span.clone()).collect();
    assert_eq!(untouched, other.scope_spans[0].spans);

    // The endpoint has it a moment before the exporter knows.
    let sent = |page: &Metrics| {
        page.sum(
            "weir_gateway_exporter_items_sent_total",
            &[("signal", "traces")],
        )
    };
    eventually!(sent(&scrape(gateway.prometheus).await) == 3.0);
    let page = scrape(gateway.prometheus).await;
    let labels = [("category", "tracing"), ("script", "cart")];
    let count = |what: &str| page.sum(&format!("weir_gateway_script_{what}_total"), &labels);
    assert_eq!(count("points"), 3.0);
    assert_eq!(count("points_edited"), 1.0);
    assert_eq!(count("points_dropped"), 2.0);
    gateway.stop().await;
}
