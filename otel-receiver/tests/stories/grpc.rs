//! OTLP/gRPC.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use prost::Message;
use tonic::{Code, codec::CompressionEncoding};
use tonic_types::StatusExt;
use weir_otel_receiver::{Cause, Outcome, Refused, Transport};
use weir_point::otlp::Signal;

use crate::support::{
    PROTOBUF, logs, metrics, metrics_client, post, raw, request_of, server, trace_client, traces,
};

#[tokio::test]
async fn every_signal_reaches_the_consumer_as_the_very_bytes_that_were_sent() {
    let server = server(&[]).await;

    let mut client = trace_client(server.grpc).await;
    client.export(traces(3)).await.expect("accepted");
    let mut client = metrics_client(server.grpc).await;
    client.export(metrics()).await.expect("accepted");
    let mut client = LogsServiceClient::connect(format!("http://{}", server.grpc))
        .await
        .expect("a listener");
    let response = client.export(logs()).await.expect("accepted");
    assert_eq!(response.into_inner().partial_success, None);

    let batches = server.consumer.batches();
    let got: Vec<_> = batches.iter().map(|b| (b.signal(), b.items())).collect();
    let wanted = [(Signal::Traces, 3), (Signal::Metrics, 7), (Signal::Logs, 2)];
    assert_eq!(got, wanted);
    for batch in &batches {
        assert_eq!(batch.bytes(), &request_of(batch.signal()));
    }
    for (exchange, batch) in server.meter.exchanges().iter().zip(&batches) {
        assert_eq!(exchange.signal, Some(batch.signal()));
        assert_eq!(exchange.items, batch.items());
        assert_eq!(exchange.outcome, Outcome::Accepted);
        assert_eq!(exchange.status, 0);
        assert_eq!(exchange.wire_bytes, batch.bytes().len() as u64 + 5);
        assert_eq!(exchange.batch_bytes, batch.bytes().len() as u64);
    }
}

#[tokio::test]
async fn gzip_deflate_and_zstd_are_undone() {
    let server = server(&[]).await;
    for encoding in [
        CompressionEncoding::Gzip,
        CompressionEncoding::Deflate,
        CompressionEncoding::Zstd,
    ] {
        let mut client = trace_client(server.grpc).await.send_compressed(encoding);
        client.export(traces(100)).await.expect("accepted");
    }
    let sent = traces(100).encode_to_vec();
    let batches = server.consumer.batches();
    assert_eq!(batches.len(), 3);
    for (batch, exchange) in batches.iter().zip(server.meter.exchanges()) {
        assert_eq!(batch.bytes(), &sent);
        assert!(exchange.wire_bytes < sent.len() as u64 / 2);
    }
}

#[tokio::test]
async fn a_full_consumer_makes_the_client_wait_as_long_as_it_says() {
    let server = server(&[]).await;
    let retry_after = Duration::from_millis(2500);
    server.consumer.refuse(Refused::Full { retry_after });
    let mut client = trace_client(server.grpc).await;

    let status = client.export(traces(1)).await.expect_err("full");
    assert_eq!(status.code(), Code::ResourceExhausted);
    let info = status.get_details_retry_info().expect("RetryInfo");
    assert_eq!(info.retry_delay, Some(retry_after));

    client.export(traces(1)).await.expect("room again");
    assert_eq!(server.meter.causes(), [Cause::Full]);
}

#[tokio::test]
async fn a_stopping_consumer_is_unavailable() {
    let server = server(&[]).await;
    server.consumer.refuse(Refused::Stopping);
    let mut client = trace_client(server.grpc).await;
    let status = client.export(traces(1)).await.expect_err("stopping");
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_for_good() {
    let server = server(&[("max_message", "64KiB")]).await;
    let encodings = [
        None,
        Some(CompressionEncoding::Gzip),
        Some(CompressionEncoding::Deflate),
        Some(CompressionEncoding::Zstd),
    ];
    for encoding in encodings {
        let mut client = trace_client(server.grpc).await;
        if let Some(encoding) = encoding {
            client = client.send_compressed(encoding);
        }
        let status = client.export(traces(1000)).await.expect_err("too large");
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.get_details_retry_info().is_none(), "do not retry");
        assert!(status.message().contains("65536"), "{status:?}");
        client.export(traces(1)).await.expect("small enough");
    }
    assert_eq!(server.meter.causes(), [Cause::TooLarge; 4]);
}

/// Calls a method of a service with bytes that no client of it would send.
async fn call(
    to: std::net::SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> (http::response::Parts, http::HeaderMap) {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let stream = tokio::net::TcpStream::connect(to)
        .await
        .expect("a listener");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("a connection");
    tokio::spawn(connection);
    let mut request = http::Request::post(format!("http://{to}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(bytes::Bytes::from(body));
    let request = request.body(body).expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a body");
    let trailers = body.trailers().cloned().unwrap_or_default();
    (head, trailers)
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");
const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

fn framed(flag: u8, length: u32, message: &[u8]) -> Vec<u8> {
    let mut body = vec![flag];
    body.extend(length.to_be_bytes());
    body.extend(message);
    body
}

#[tokio::test]
async fn what_is_no_export_call_gets_the_status_that_grpc_has_for_it() {
    let server = server(&[]).await;
    let message = request_of(Signal::Traces);
    let size = u32::try_from(message.len()).expect("small");
    let good = framed(0, size, &message);
    let zip = [GRPC, ("grpc-encoding", "gzip")];
    let snappy = [GRPC, ("grpc-encoding", "snappy")];
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Vec<u8>, &'a str, &'a str);
    let cases: [Case<'_>; 10] = [
        (
            "/x.Y/Export",
            &[GRPC],
            good.clone(),
            "12",
            "nothing is here",
        ),
        (TRACES, &snappy, good.clone(), "12", "gzip, deflate, zstd"),
        (TRACES, &[GRPC], Vec::new(), "3", "missing"),
        (TRACES, &[GRPC], vec![0, 0], "3", "missing"),
        (
            TRACES,
            &[GRPC],
            framed(0, size + 1, &message),
            "3",
            "cut short",
        ),
        (
            TRACES,
            &[GRPC],
            framed(0, size - 1, &message),
            "3",
            "more than one",
        ),
        (
            TRACES,
            &[GRPC],
            framed(1, size, &message),
            "3",
            "grpc-encoding",
        ),
        (TRACES, &[GRPC], framed(2, size, &message), "3", "neither"),
        (TRACES, &zip, framed(1, size, &message), "3", "gzip"),
        (
            TRACES,
            &[GRPC],
            framed(0, u32::MAX, &message),
            "8",
            "larger",
        ),
    ];
    for (path, headers, body, code, text) in cases {
        let (head, _) = call(server.grpc, path, headers, body).await;
        assert_eq!(head.status, 200);
        assert_eq!(head.headers["grpc-status"], code, "{text}");
        let message = head.headers["grpc-message"].to_str().expect("text");
        assert!(message.replace("%20", " ").contains(text), "{message}");
    }
    let (head, trailers) = call(server.grpc, TRACES, &[GRPC], good).await;
    assert_eq!(head.headers["content-type"], "application/grpc");
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn a_broken_message_is_refused_with_the_place_where_it_is_broken() {
    let server = server(&[]).await;
    let mut message = request_of(Signal::Traces);
    let place = message.windows(4).position(|four| four == b"GET ");
    message[place.expect("the name of a span")] = 0xff;
    let size = u32::try_from(message.len()).expect("small");
    let (head, _) = call(server.grpc, TRACES, &[GRPC], framed(0, size, &message)).await;
    assert_eq!(head.headers["grpc-status"], "3");
    let text = head.headers["grpc-message"].to_str().expect("text");
    assert!(text.contains("spans.name"), "{text}");
    assert!(server.consumer.batches().is_empty());
    let end = (
        Transport::Grpc,
        Some(Signal::Traces),
        Outcome::Refused(Cause::Malformed),
        3,
    );
    assert_eq!(server.meter.ends(), [end]);
}

#[tokio::test]
async fn an_http_exporter_at_the_port_for_grpc_is_told_so() {
    let server = server(&[]).await;
    let reply = post(
        server.grpc,
        "/v1/traces",
        &[PROTOBUF],
        request_of(Signal::Traces),
    )
    .await;
    assert_eq!(reply.status, 415);
    assert!(reply.text().contains("4318"), "{}", reply.text());
    let answer = raw(server.grpc, b"GET / HTTP/1.1\r\nhost: weir\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
}

#[tokio::test]
async fn many_calls_share_one_connection() {
    let server = server(&[]).await;
    let client = trace_client(server.grpc).await;
    let calls = (0..300).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move { client.export(traces(10)).await.map(drop) })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.expect("no panic").expect("accepted");
    }
    assert_eq!(server.consumer.batches().len(), 300);
}
