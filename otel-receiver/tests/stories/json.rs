//! OTLP/JSON.

use std::fmt::Debug;

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    metrics::v1::metric::Data,
};
use prost::Message;
use serde::Serialize;
use serde_json::{Value, json};

use crate::support::{JSON, Server, gzip, logs, metrics, post, server, traces};

/// Sends `json`, and returns what the consumer got.
async fn arrives<T: Message + Default>(server: &Server, path: &str, json: String) -> T {
    let reply = post(server.http, path, &[JSON], json).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.text(), "{}");
    let batch = server.consumer.batches().pop().expect("a batch");
    T::decode(batch.bytes().clone()).expect("protobuf")
}

/// What another implementation writes as JSON arrives as the same message.
async fn arrives_the_same<T>(server: &Server, path: &str, sent: T)
where
    T: Message + Default + Serialize + PartialEq + Debug,
{
    let json = serde_json::to_string(&sent).expect("JSON");
    assert_eq!(arrives::<T>(server, path, json).await, sent);
}

#[tokio::test]
async fn every_field_of_every_signal_arrives() {
    let server = server(&[]).await;
    arrives_the_same(&server, "/v1/traces", traces(3)).await;
    arrives_the_same(&server, "/v1/logs", logs()).await;
    arrives_the_same(&server, "/v1/metrics", metrics()).await;
    let items: Vec<_> = server
        .consumer
        .batches()
        .iter()
        .map(|b| b.items())
        .collect();
    assert_eq!(items, [3, 2, 7]);
}

#[tokio::test]
async fn json_may_be_compressed() {
    let server = server(&[]).await;
    let json = serde_json::to_vec(&traces(50)).expect("JSON");
    let headers = [JSON, ("content-encoding", "gzip")];
    let reply = post(server.http, "/v1/traces", &headers, gzip(&json)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(server.consumer.only().items(), 50);
}

#[tokio::test]
async fn numbers_may_be_written_in_every_way_that_clients_write_them() {
    let server = server(&[]).await;
    let point = json!({
        "timeUnixNano": "1760000000123456789",
        "startTimeUnixNano": 1_760_000_000_123_456_789_u64,
        "asInt": "-42",
        "flags": "1",
    });
    let other = json!({ "asDouble": "NaN", "timeUnixNano": 1e3, "attributes": null });
    let exponential = json!({
        "scale": -2, "sum": "Infinity", "min": "-1.5e3", "max": 7,
        "positive": { "offset": -5, "bucketCounts": ["1", 2] },
    });
    let request = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [
        { "name": "a", "gauge": { "dataPoints": [point, other] } },
        { "name": "b", "exponentialHistogram": {
            "aggregationTemporality": 2, "dataPoints": [exponential] } },
    ] }] }] });
    let got: ExportMetricsServiceRequest =
        arrives(&server, "/v1/metrics", request.to_string()).await;

    let metrics = &got.resource_metrics[0].scope_metrics[0].metrics;
    let Some(Data::Gauge(gauge)) = &metrics[0].data else {
        panic!("{metrics:?}")
    };
    let [point, other] = &gauge.data_points[..] else {
        panic!("{gauge:?}")
    };
    assert_eq!(point.time_unix_nano, 1_760_000_000_123_456_789);
    assert_eq!(point.start_time_unix_nano, point.time_unix_nano);
    assert_eq!(point.flags, 1);
    let value = |text: &str| format!("Some({text})");
    assert_eq!(format!("{:?}", point.value), value("AsInt(-42)"));
    assert_eq!(format!("{:?}", other.value), value("AsDouble(NaN)"));
    assert_eq!(other.time_unix_nano, 1000);
    let Some(Data::ExponentialHistogram(histogram)) = &metrics[1].data else {
        panic!("{metrics:?}")
    };
    let point = &histogram.data_points[0];
    assert_eq!((point.scale, point.sum), (-2, Some(f64::INFINITY)));
    assert_eq!((point.min, point.max), (Some(-1500.0), Some(7.0)));
    let positive = point.positive.as_ref().expect("buckets");
    assert_eq!(
        (positive.offset, &positive.bucket_counts[..]),
        (-5, &[1, 2][..])
    );
}

#[tokio::test]
async fn ids_are_hexadecimal_and_bytes_are_base64_of_either_alphabet() {
    let server = server(&[]).await;
    let bytes = |text: &str| json!({ "key": "k", "value": { "bytesValue": text } });
    let span = json!({
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "eee19b7ec3c1b174",
        "parentSpanId": "",
        "attributes": [bytes("//79"), bytes("__79"), bytes("AA=="), bytes("AA"), bytes("")],
    });
    let request = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [span] }] }] });
    let got: ExportTraceServiceRequest = arrives(&server, "/v1/traces", request.to_string()).await;
    let span = &got.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.trace_id[..3], [0x5b, 0x8e, 0xff]);
    assert_eq!(span.trace_id.len(), 16);
    assert_eq!(span.span_id[7], 0x74);
    assert!(span.parent_span_id.is_empty());
    let values = span.attributes.iter().map(|a| format!("{:?}", a.value));
    let wanted = [&[255, 254, 253][..], &[255, 254, 253], &[0], &[0], &[]]
        .map(|bytes| format!("Some(AnyValue {{ value: Some(BytesValue({bytes:?})) }})"));
    assert_eq!(values.collect::<Vec<_>>(), wanted);
}

#[tokio::test]
async fn what_a_newer_client_adds_is_left_out() {
    let server = server(&[]).await;
    let request = json!({
        "new": [{ "deep": [1, "2", null, { "x": {} }] }],
        "resourceLogs": [{ "scopeLogs": [{ "logRecords": [
            { "severityNumber": 9, "severity_text": "not the name in JSON", "new": 1.5 }, {}, {} ] }] }],
    });
    let got: ExportLogsServiceRequest = arrives(&server, "/v1/logs", request.to_string()).await;
    let records = &got.resource_logs[0].scope_logs[0].log_records;
    assert_eq!(records.len(), 3);
    assert_eq!(records[0].severity_number, 9);
    assert_eq!(records[0].severity_text, "");
}

#[tokio::test]
async fn a_mistake_is_named_with_line_and_column() {
    let server = server(&[]).await;
    let span = |field: &str, value: &str| {
        format!(
            "{{\"resourceSpans\":[{{\"scopeSpans\":[\n{{\"spans\":[{{\"{field}\":{value}}}]}}]}}]}}"
        )
    };
    let cases = [
        (span("traceId", "\"xyz\""), "traceId as hexadecimal"),
        (span("traceId", "\"abc\""), "traceId as hexadecimal"),
        (span("traceId", "7"), "traceId as hexadecimal"),
        (span("name", "7"), "name as a string"),
        (
            span("kind", "\"SPAN_KIND_SERVER\""),
            "kind as a whole number",
        ),
        (span("kind", "2147483648"), "out of range"),
        (span("flags", "-1"), "out of range"),
        (
            span("startTimeUnixNano", "1.5"),
            "startTimeUnixNano as a whole",
        ),
        (
            span("startTimeUnixNano", "true"),
            "startTimeUnixNano as a whole",
        ),
        (
            span("startTimeUnixNano", "18446744073709551616"),
            "startTimeUnixNano",
        ),
        (span("status", "[]"), "status as an object"),
        (span("events", "{}"), "events as an array"),
        (span("events", "[3]"), "Span.Event as an object"),
        (span("events", "[}"), "expected value"),
    ];
    for (text, wanted) in cases {
        let reply = post(server.http, "/v1/traces", &[JSON], text.clone()).await;
        assert_eq!(reply.status, 400, "{text}");
        let status: Value = serde_json::from_slice(&reply.body).expect("JSON");
        let message = status["message"].as_str().expect("a message");
        assert!(message.contains(wanted), "{text}: {message}");
        assert!(message.contains("at line 2 column"), "{text}: {message}");
        assert_eq!(status["code"], 3);
    }
    for text in ["", "null", "[]", "{", "{} {}", "\u{feff}{}"] {
        let reply = post(server.http, "/v1/traces", &[JSON], text).await;
        assert_eq!(reply.status, 400, "{text}");
    }
    let invalid = b"{\"resourceSpans\":[{\"schemaUrl\":\"\xff\"}]}".to_vec();
    let reply = post(server.http, "/v1/traces", &[JSON], invalid).await;
    assert_eq!(reply.status, 400);
    assert!(server.consumer.batches().is_empty());
}
