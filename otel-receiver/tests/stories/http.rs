//! OTLP/HTTP with protobuf, and what surrounds any request.

use std::time::Duration;

use http::Method;
use prost::Message;
use tonic_types::{StatusExt as _, pb};
use weir_otel_receiver::{Cause, Outcome, Refused, Transport};
use weir_point::otlp::Signal;

use crate::support::{
    JSON, PROTOBUF, deflate, gzip, post, raw, request, request_of, server, traces, zstd,
};

const SIGNALS: [(Signal, &str); 3] = [
    (Signal::Traces, "/v1/traces"),
    (Signal::Metrics, "/v1/metrics"),
    (Signal::Logs, "/v1/logs"),
];

#[tokio::test]
async fn every_signal_reaches_the_consumer_as_the_very_bytes_that_were_sent() {
    let server = server(&[]).await;
    for (signal, path) in SIGNALS {
        let reply = post(server.http, path, &[PROTOBUF], request_of(signal)).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), "application/x-protobuf");
        assert!(reply.body.is_empty());
    }
    let batches = server.consumer.batches();
    assert_eq!(batches.len(), 3);
    for ((signal, _), batch) in SIGNALS.into_iter().zip(batches) {
        assert_eq!(batch.signal(), signal);
        assert_eq!(batch.bytes(), &request_of(signal));
    }
    let ends = SIGNALS.map(|(signal, _)| (Transport::Http, Some(signal), Outcome::Accepted, 200));
    assert_eq!(server.meter.ends(), ends);
}

#[tokio::test]
async fn gzip_deflate_zstd_and_identity_are_undone() {
    let server = server(&[]).await;
    let message = traces(500).encode_to_vec();
    let two_members = [gzip(&message[..999]), gzip(&message[999..])].concat();
    let two_frames = [zstd(&message[..999]), zstd(&message[999..])].concat();
    let cases = [
        ("gzip", gzip(&message)),
        ("GZIP", two_members),
        ("deflate", deflate(&message)),
        ("zstd", zstd(&message)),
        ("zstd", two_frames),
        ("identity", message.clone()),
        ("", message.clone()),
    ];
    let count = cases.len();
    for (coding, body) in cases {
        let headers = [PROTOBUF, ("content-encoding", coding)];
        let reply = post(server.http, "/v1/traces", &headers, body).await;
        assert_eq!(reply.status, 200, "{coding}");
    }
    let batches = server.consumer.batches();
    assert_eq!(batches.len(), count);
    for batch in batches {
        assert_eq!(batch.bytes(), &message);
    }
}

#[tokio::test]
async fn a_body_in_chunks_arrives_whole() {
    let server = server(&[]).await;
    let message = request_of(Signal::Metrics);
    let mut bytes = b"POST /v1/metrics HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\
        content-type: application/x-protobuf; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
        .to_vec();
    for chunk in message.chunks(7) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    let answer = raw(server.http, &bytes).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.consumer.only().bytes(), &message);
}

#[tokio::test]
async fn http_2_is_spoken_without_being_asked_for() {
    use http_body_util::Full;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let server = server(&[]).await;
    let stream = tokio::net::TcpStream::connect(server.http)
        .await
        .expect("a listener");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("a connection");
    tokio::spawn(connection);
    let body = Full::new(bytes::Bytes::from(request_of(Signal::Logs)));
    let request = http::Request::post(format!("http://{}/v1/logs", server.http))
        .header(PROTOBUF.0, PROTOBUF.1)
        .body(body)
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(server.consumer.only().items(), 2);
}

#[tokio::test]
async fn what_is_no_export_request_gets_the_status_that_http_has_for_it() {
    let server = server(&[]).await;
    let post = Method::POST;
    let br = [PROTOBUF, ("content-encoding", "br")];
    let twice = [PROTOBUF, ("content-encoding", "gzip, gzip")];
    let text = [("content-type", "text/plain")];
    let traces = "/v1/traces";
    type Case<'a> = (&'a Method, &'a str, &'a [(&'a str, &'a str)], u16, Cause);
    let cases: [Case<'_>; 9] = [
        (&post, "/", &[PROTOBUF], 404, Cause::UnknownPath),
        (&post, "/v1/traces/", &[JSON], 404, Cause::UnknownPath),
        (&Method::GET, traces, &[], 405, Cause::Method),
        (&Method::PUT, traces, &[PROTOBUF], 405, Cause::Method),
        (&Method::OPTIONS, traces, &[], 405, Cause::Method),
        (&post, traces, &text, 415, Cause::ContentType),
        (&post, traces, &[], 415, Cause::ContentType),
        (&post, traces, &br, 415, Cause::Compression),
        (&post, traces, &twice, 415, Cause::Compression),
    ];
    for (method, path, headers, status, cause) in cases {
        let body = request_of(Signal::Traces);
        let reply = request(server.http, method.clone(), path, headers, body).await;
        assert_eq!(reply.status, status, "{method} {path} {headers:?}");
        assert_eq!(server.meter.causes().pop(), Some(cause));
        if status == 405 {
            assert_eq!(reply.header("allow"), "POST");
        }
        if cause == Cause::Compression {
            assert_eq!(reply.header("accept-encoding"), "gzip, deflate, zstd");
        }
    }
    assert!(server.consumer.batches().is_empty());
}

#[tokio::test]
async fn a_full_consumer_makes_the_client_wait_as_long_as_it_says() {
    let server = server(&[]).await;
    let full = Refused::Full {
        retry_after: Duration::from_millis(1500),
    };
    server.consumer.refuse(full);
    server.consumer.refuse(full);

    let body = request_of(Signal::Traces);
    let reply = post(server.http, "/v1/traces", &[PROTOBUF], body).await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("retry-after"), "2");
    let status = pb::Status::decode(reply.body).expect("google.rpc.Status");
    assert_eq!(status.code, 8);
    let details = tonic::Status::with_details(
        tonic::Code::ResourceExhausted,
        "",
        status.encode_to_vec().into(),
    );
    let info = details.get_details_retry_info().expect("RetryInfo");
    assert_eq!(info.retry_delay, Some(Duration::from_millis(1500)));

    let reply = post(server.http, "/v1/traces", &[JSON], "{}").await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("content-type"), "application/json");
    let status: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(status["details"][0]["retryDelay"], "1.500000000s");
}

#[tokio::test]
async fn a_stopping_consumer_is_unavailable() {
    let server = server(&[]).await;
    server.consumer.refuse(Refused::Stopping);
    let reply = post(server.http, "/v1/logs", &[PROTOBUF], "").await;
    assert_eq!(reply.status, 503);
}

#[tokio::test]
async fn a_broken_message_is_refused_with_the_place_where_it_is_broken() {
    let server = server(&[]).await;
    let mut message = request_of(Signal::Traces);
    let place = message.windows(4).position(|four| four == b"GET ");
    message[place.expect("the name of a span")] = 0xff;
    let reply = post(server.http, "/v1/traces", &[PROTOBUF], message).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.header("content-type"), "application/x-protobuf");
    let status = pb::Status::decode(reply.body).expect("google.rpc.Status");
    assert_eq!(status.code, 3);
    assert!(status.message.contains("spans.name"), "{}", status.message);
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_send_from_a_browser() {
    let origins = ("cors.origins", "https://app.example,http://localhost:3000");
    let server = server(&[origins, ("token", "secret")]).await;
    let ask = |origin| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "authorization,content-type",
            ),
        ];
        async move { request(server.http, Method::OPTIONS, "/v1/traces", &headers, "").await }
    };
    let reply = ask("https://app.example").await;
    assert_eq!(reply.status, 204);
    let allowed = |name| reply.header(&format!("access-control-allow-{name}"));
    assert_eq!(allowed("origin"), "https://app.example");
    assert_eq!(allowed("methods"), "POST");
    assert_eq!(allowed("headers"), "authorization,content-type");

    let headers = [
        JSON,
        ("origin", "http://localhost:3000"),
        ("authorization", "Bearer secret"),
    ];
    let reply = post(server.http, "/v1/traces", &headers, "{}").await;
    assert_eq!(reply.status, 200);
    let origin = reply.header("access-control-allow-origin");
    assert_eq!(origin, "http://localhost:3000");
    assert_eq!(reply.header("vary"), "origin");

    // A page must be able to read why it was refused.
    let reply = post(server.http, "/v1/traces", &headers[..2], "{}").await;
    assert_eq!(reply.status, 401);
    let origin = reply.header("access-control-allow-origin");
    assert_eq!(origin, "http://localhost:3000");

    let reply = ask("https://evil.example").await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_client_that_closes_its_side_after_the_request_is_still_answered() {
    let server = server(&[]).await;
    let message = request_of(Signal::Traces);
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: weir\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {}\r\n\r\n",
        message.len()
    );
    let whole = [head.as_bytes(), &message].concat();
    let answer = raw(server.http, &whole).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = raw(server.http, &whole[..whole.len() - 1]).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(server.meter.causes(), [Cause::Malformed]);
}
