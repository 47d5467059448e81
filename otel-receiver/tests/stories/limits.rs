//! What slow, large and many clients cannot do.

use std::time::Duration;

use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::Code;
use tonic_types::StatusExt;
use weir_otel_receiver::{Cause, ConnectionEvent};
use weir_point::otlp::Signal;

use crate::support::{
    JSON, PATIENCE, PROTOBUF, alone, deflate, eventually, gzip, peak_memory, post, request_of,
    reset_peak_memory, server, trace_client, traces, zstd,
};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_bomb_is_defused_before_it_takes_memory() {
    if !alone("limits::a_bomb_is_defused_before_it_takes_memory") {
        return;
    }
    let server = server(&[("max_message", "1MiB"), ("memory", "16MiB")]).await;
    // 512 MiB of zeros, as a gzip member of 8 MiB many times over, and as zstd.
    let zeros = vec![0; 8 * MIB];
    let member = gzip(&zeros);
    let bombs = [
        ("gzip", member.repeat(64)),
        ("gzip", gzip(&member.repeat(64))),
        ("deflate", deflate(&zeros)),
        ("zstd", zstd(&zeros).repeat(64)),
    ];
    drop(zeros);
    let before = reset_peak_memory();
    for (coding, bomb) in bombs {
        let headers = [PROTOBUF, ("content-encoding", coding)];
        let reply = post(server.http, "/v1/traces", &headers, bomb).await;
        // What is inside the second one is small enough, but not a message.
        assert!(matches!(reply.status.as_u16(), 413 | 400), "{reply:?}");
    }
    let grown = peak_memory() - before;
    assert!(grown < 32 * MIB, "{grown}");
    assert!(server.meter.causes().contains(&Cause::TooLarge));
}

#[tokio::test]
async fn a_window_larger_than_http_allows_is_refused() {
    let server = server(&[]).await;
    // A frame that asks for a window of 128 MiB.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 0x01, 0x00, 0x00];
    let headers = [PROTOBUF, ("content-encoding", "zstd")];
    let reply = post(server.http, "/v1/traces", &headers, frame.to_vec()).await;
    assert_eq!(reply.status, 400);
    let text = String::from_utf8_lossy(&reply.body);
    assert!(text.contains("too much memory"), "{text}");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_and_the_client_hears_it() {
    let server = server(&[("max_message", "64KiB")]).await;
    let large = traces(1000).encode_to_vec();
    assert!(large.len() > 64 * 1024);
    let json = serde_json::to_vec(&traces(1000)).expect("JSON");
    let cases = [(PROTOBUF, large.clone()), (JSON, json)];
    for (language, body) in cases {
        let reply = post(server.http, "/v1/traces", &[language], body).await;
        assert_eq!(reply.status, 413);
        assert_eq!(reply.header("content-type"), language.1);
    }
    // Small as text, large as protobuf.
    let numbers = format!("[{}1]", "1,".repeat(20_000));
    let json = format!(
        "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{\"histogram\":{{\
         \"dataPoints\":[{{\"bucketCounts\":{numbers}}}]}}}}]}}]}}]}}"
    );
    assert!(json.len() < 64 * 1024);
    let reply = post(server.http, "/v1/metrics", &[JSON], json).await;
    assert_eq!(reply.status, 413);
    assert_eq!(server.meter.causes(), [Cause::TooLarge; 3]);
}

#[tokio::test]
async fn json_takes_no_more_memory_than_its_text() {
    if !alone("limits::json_takes_no_more_memory_than_its_text") {
        return;
    }
    let server = server(&[("max_message", "8MiB"), ("memory", "32MiB")]).await;
    // Each `{}` would be a span of some hundred bytes, if one were made of it.
    let spans = format!("{}{{}}", "{},".repeat(2_500_000));
    let json = format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{spans}]}}]}}]}}");
    drop(spans);
    let before = reset_peak_memory();
    let reply = post(server.http, "/v1/traces", &[JSON], json).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(server.consumer.only().items(), 2_500_001);
    let grown = peak_memory() - before;
    assert!(grown < 40 * MIB, "{grown}");
}

/// The head of a request with a body of this size.
fn head(size: usize) -> String {
    format!(
        "POST /v1/traces HTTP/1.1\r\nhost: weir\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {size}\r\n\r\n"
    )
}

/// What comes back until the connection ends.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("an end in time")
        .ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_client_that_sends_too_slowly_is_cut_off() {
    let server = server(&[("timeout", "200ms")]).await;
    let connect = async || TcpStream::connect(server.http).await.expect("a listener");

    let mut silent = connect().await;
    assert_eq!(rest(&mut silent).await, "");
    eventually!(server.meter.events(ConnectionEvent::HandshakeFailed) == 1);

    let mut half_a_head = connect().await;
    half_a_head.write_all(b"POST /v1/tr").await.expect("open");
    let answer = rest(&mut half_a_head).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"));
    eventually!(server.meter.events(ConnectionEvent::Broken) == 1);

    let mut half_a_body = connect().await;
    half_a_body
        .write_all(head(100).as_bytes())
        .await
        .expect("open");
    half_a_body.write_all(&[0; 50]).await.expect("open");
    let answer = rest(&mut half_a_body).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(server.meter.causes(), [Cause::TooSlow]);

    let mut half_a_preface = TcpStream::connect(server.grpc).await.expect("a listener");
    half_a_preface.write_all(b"PRI * HTTP").await.expect("open");
    assert_eq!(rest(&mut half_a_preface).await, "");
}

#[tokio::test]
async fn a_client_that_goes_away_is_counted() {
    let server = server(&[]).await;
    let mut stream = TcpStream::connect(server.http).await.expect("a listener");
    stream.write_all(head(100).as_bytes()).await.expect("open");
    stream.write_all(&[0; 50]).await.expect("open");
    eventually!(server.meter.events(ConnectionEvent::Opened) == 1);
    drop(stream);
    eventually!(server.meter.events(ConnectionEvent::Closed) == 1);
    eventually!(server.meter.causes().len() == 1);
    let cause = server.meter.causes()[0];
    assert!(matches!(cause, Cause::Malformed | Cause::ClientGone));
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    let server = server(&[("connections", "2")]).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.http).await.expect("a listener");
        stream.write_all(b"POST ").await.expect("open");
        held.push(stream);
    }
    eventually!(server.meter.events(ConnectionEvent::Opened) == 2);
    let mut third = TcpStream::connect(server.http).await.expect("a listener");
    assert_eq!(rest(&mut third).await, "");
    assert_eq!(server.meter.events(ConnectionEvent::TooMany), 1);

    drop(held);
    eventually!(server.meter.events(ConnectionEvent::Closed) == 2);
    let body = request_of(Signal::Traces);
    let reply = post(server.http, "/v1/traces", &[PROTOBUF], body).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn many_large_requests_at_once_stay_within_the_memory_for_them() {
    let server = server(&[("max_message", "1MiB"), ("memory", "4MiB")]).await;
    // Six clients hold most of a MiB each; the memory is enough for four.
    let mut held = Vec::new();
    for _ in 0..6 {
        let mut stream = TcpStream::connect(server.http).await.expect("a listener");
        stream.write_all(head(MIB).as_bytes()).await.expect("open");
        // Refused ones are read to the end, so that they hear why.
        stream.write_all(&vec![0; MIB - 1]).await.expect("open");
        held.push(stream);
    }
    let mut client = trace_client(server.grpc).await;
    let refused = loop {
        match client.export(traces(10)).await {
            Err(status) => break status,
            Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.get_details_retry_info().is_some());
    let reply = post(
        server.http,
        "/v1/traces",
        &[PROTOBUF],
        request_of(Signal::Traces),
    )
    .await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("retry-after"), "1");

    let mut answers = Vec::new();
    for mut stream in held {
        stream.write_all(&[0]).await.expect("open");
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.expect("an answer");
        answers.push(String::from_utf8_lossy(&status).into_owned());
    }
    let with = |status: &str| answers.iter().filter(|a| a.ends_with(status)).count();
    // Zeros are no message; the ones that had room got as far as that.
    assert_eq!((with("400"), with("429")), (4, 2), "{answers:?}");

    client.export(traces(10)).await.expect("room again");
}
