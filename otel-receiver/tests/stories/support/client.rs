//! Clients: hyper for HTTP, tonic for gRPC, and a bare socket for what no client sends.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::{
    metrics::v1::metrics_service_client::MetricsServiceClient,
    trace::v1::trace_service_client::TraceServiceClient,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::transport::Channel;

use super::PATIENCE;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// A header as text; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

pub(crate) async fn post(
    to: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Reply {
    request(to, Method::POST, path, headers, body).await
}

pub(crate) async fn request(
    to: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Reply {
    let stream = TcpStream::connect(to).await.expect("a listener");
    send(stream, method, path, headers, body).await
}

/// Sends one request over a connection of its own.
pub(crate) async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Reply {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .expect("a connection");
    let connection = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .header("host", "weir")
        .body(Full::new(body.into()))
        .expect("a request");
    let response = timeout(PATIENCE, sender.send_request(request))
        .await
        .expect("an answer in time")
        .expect("an answer");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    connection.abort();
    Reply {
        status: head.status,
        headers: head.headers,
        body,
    }
}

/// Writes `bytes`, closes its side, and returns what comes back until the connection ends.
pub(crate) async fn raw(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.expect("a listener");
    stream.write_all(bytes).await.expect("an open connection");
    stream.shutdown().await.expect("an open connection");
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("an end in time")
        .expect("an orderly end");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn channel(to: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{to}"))
        .expect("an address")
        .connect()
        .await
        .expect("a listener")
}

pub(crate) async fn trace_client(to: SocketAddr) -> TraceServiceClient<Channel> {
    TraceServiceClient::new(channel(to).await)
}

pub(crate) async fn metrics_client(to: SocketAddr) -> MetricsServiceClient<Channel> {
    MetricsServiceClient::new(channel(to).await)
}
