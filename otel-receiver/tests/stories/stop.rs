//! Stopping.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weir_otel_receiver::ConnectionEvent;
use weir_point::otlp::Signal;
use weir_runtime::stop::Deadline;

use crate::support::{
    PATIENCE, Server, config, eventually, request_of, server, trace_client, traces,
};

/// A request of which all but the last byte was sent.
async fn begun(server: &Server) -> (TcpStream, u8) {
    let message = request_of(Signal::Traces);
    let (last, most) = message.split_last().expect("not empty");
    let mut stream = TcpStream::connect(server.http).await.expect("a listener");
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: weir\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {}\r\n\r\n",
        message.len()
    );
    stream.write_all(head.as_bytes()).await.expect("open");
    stream.write_all(most).await.expect("open");
    eventually!(server.meter.events(ConnectionEvent::Opened) == 1);
    (stream, *last)
}

#[tokio::test]
async fn calls_under_way_are_answered_and_no_others() {
    let server = server(&[]).await;
    let (mut stream, last) = begun(&server).await;
    let Server { running, http, .. } = server;
    let stopping = tokio::spawn(async move { running.stop(&Deadline::after(PATIENCE)).await });
    while TcpStream::connect(http).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    stream.write_all(&[last]).await.expect("open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(stopping.await.expect("no panic"), "in time");
    assert_eq!(server.consumer.only().items(), 3);
}

#[tokio::test]
async fn idle_connections_do_not_delay_a_stop() {
    let server = server(&[]).await;
    let mut client = trace_client(server.grpc).await;
    client.export(traces(1)).await.expect("accepted");
    let _silent = TcpStream::connect(server.http).await.expect("a listener");
    assert!(server.running.stop(&Deadline::after(PATIENCE)).await);
    client.export(traces(1)).await.expect_err("nobody there");
}

#[tokio::test]
async fn a_client_that_never_ends_is_cut_off_at_the_deadline() {
    let server = server(&[]).await;
    let (mut stream, _) = begun(&server).await;
    let budget = Duration::from_millis(100);
    assert!(!server.running.stop(&Deadline::after(budget)).await);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok();
    assert_eq!(answer, "");
}

#[tokio::test]
async fn a_listener_can_be_off() {
    use std::sync::Arc;
    let config = config(&[("grpc.listen", "off")])
        .expect("valid")
        .expect("one");
    let running = weir_otel_receiver::Receiver::start(
        config,
        Arc::new(crate::support::Recorder::default()),
        Arc::new(crate::support::Tally::default()),
    )
    .await
    .expect("a free port");
    assert_eq!(running.grpc, None);
    assert!(running.http.is_some());
    assert!(running.stop(&Deadline::after(PATIENCE)).await);
}
