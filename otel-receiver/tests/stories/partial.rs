use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceResponse, metrics::v1::ExportMetricsServiceResponse,
    trace::v1::ExportTraceServiceResponse,
};
use prost::Message as _;
use weir_otel_receiver::{Outcome, Taken};
use weir_point::otlp::Signal;

use crate::support::{
    JSON, PROTOBUF, metrics, metrics_client, post, request_of, server, trace_client, traces,
};

const WHY: &str = "no room for \"these\"";

fn part(rejected: u64) -> Taken {
    Taken {
        rejected,
        message: WHY.into(),
    }
}

#[tokio::test]
async fn a_client_over_grpc_is_told_how_much_was_not_taken() {
    let server = server(&[]).await;
    server.consumer.take(part(1));
    let answer = trace_client(server.grpc).await.export(traces(3)).await;
    let partial = answer.expect("taken").into_inner().partial_success;
    let partial = partial.expect("partial success");
    assert_eq!((partial.rejected_spans, &*partial.error_message), (1, WHY));

    server.consumer.take(part(2));
    let answer = metrics_client(server.grpc).await.export(metrics()).await;
    let partial = answer.expect("taken").into_inner().partial_success;
    assert_eq!(partial.expect("partial success").rejected_data_points, 2);

    let answer = trace_client(server.grpc).await.export(traces(3)).await;
    assert_eq!(answer.expect("taken").into_inner().partial_success, None);
    let ends: Vec<(Outcome, usize)> = server
        .meter
        .exchanges()
        .iter()
        .map(|exchange| (exchange.outcome, exchange.rejected))
        .collect();
    let wanted = [
        (Outcome::Partial, 1),
        (Outcome::Partial, 2),
        (Outcome::Accepted, 0),
    ];
    assert_eq!(ends, wanted);
}

#[tokio::test]
async fn a_client_over_http_is_told_in_its_own_language() {
    let server = server(&[]).await;
    for (path, signal) in [
        ("/v1/traces", Signal::Traces),
        ("/v1/metrics", Signal::Metrics),
        ("/v1/logs", Signal::Logs),
    ] {
        server.consumer.take(part(1));
        let reply = post(server.http, path, &[PROTOBUF], request_of(signal)).await;
        assert_eq!(reply.status, 200);
        let body = reply.body;
        let told = match signal {
            Signal::Traces => ExportTraceServiceResponse::decode(body)
                .expect("an answer")
                .partial_success
                .map(|partial| (partial.rejected_spans, partial.error_message)),
            Signal::Metrics => ExportMetricsServiceResponse::decode(body)
                .expect("an answer")
                .partial_success
                .map(|partial| (partial.rejected_data_points, partial.error_message)),
            Signal::Logs => ExportLogsServiceResponse::decode(body)
                .expect("an answer")
                .partial_success
                .map(|partial| (partial.rejected_log_records, partial.error_message)),
        };
        assert_eq!(told, Some((1, WHY.to_owned())), "{path}");
    }
    let names = ["rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"];
    for (path, name) in ["/v1/traces", "/v1/metrics", "/v1/logs"]
        .into_iter()
        .zip(names)
    {
        server.consumer.take(part(7));
        let reply = post(server.http, path, &[JSON], "{}").await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("content-type")),
            (200, "application/json")
        );
        let wanted = serde_json::json!({"partialSuccess": {name: "7", "errorMessage": WHY}});
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(reply.text()).ok(),
            Some(wanted)
        );
    }
}
