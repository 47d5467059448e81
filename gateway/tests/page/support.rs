//! A running gateway, OpenTelemetry clients, and readers of the page.

mod metrics;
mod openmetrics;
mod prometheus;

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use prost::Message;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use weir_gateway::{Config, Gateway, RunningGateway, config::ENV_PREFIX};
use weir_runtime::config::Document;

pub(crate) use self::{
    metrics::{
        CUMULATIVE, DELTA, counter, exemplar, explicit, exponential, metrics, resource, texts,
    },
    openmetrics::{Family, Sample, openmetrics},
    prometheus::Prometheus,
};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const OPEN: &str = "application/openmetrics-text; version=1.0.0";
pub(crate) const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A running gateway with this configuration, on free ports of this machine.
pub(crate) async fn gateway(configuration: &str) -> RunningGateway {
    let any = |key: &str| {
        let key = format!("{ENV_PREFIX}_{key}_LISTEN");
        (key, "127.0.0.1:0".to_owned())
    };
    let free = [
        "FLOW",
        "PROMETHEUS",
        "OTLP_RECEIVER_GRPC",
        "OTLP_RECEIVER_HTTP",
    ]
    .map(any);
    let config = Document::parse("test.yaml", configuration, ENV_PREFIX, free)
        .and_then(|document| document.read(Config::read))
        .expect("a configuration");
    Gateway::start(config).await.expect("free ports")
}

/// The answer to an HTTP request.
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn text(self) -> String {
        String::from_utf8(self.body).expect("text")
    }
}

/// One HTTP exchange; the status must be 200.
pub(crate) async fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("a listener");
    // HTTP/1.0, so that the body comes in one piece and ends with the connection.
    let mut request = format!("{method} {path} HTTP/1.0\r\nhost: test\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let request = [request.as_bytes(), body].concat();
    stream.write_all(&request).await.expect("a server");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.expect("a head") + 4);
    let head = String::from_utf8(answer).expect("text");
    let status = head.split(' ').nth(1);
    let shown = String::from_utf8_lossy(&body);
    assert_eq!(status, Some("200"), "{head}{shown}");
    Answer { head, body }
}

/// The page in the format asked for.
pub(crate) async fn page(gateway: &RunningGateway, headers: &[(&str, &str)]) -> Answer {
    http(gateway.prometheus, "GET", "/metrics", headers, &[]).await
}

/// The page in the OpenMetrics format, as the Python client reads it.
pub(crate) async fn open_page(gateway: &RunningGateway) -> Vec<Family> {
    let answer = page(gateway, &[("accept", OPEN)]).await;
    openmetrics(&answer.text())
}

/// Send an OTLP request through the receiver.
pub(crate) async fn send(gateway: &RunningGateway, signal: &str, request: &impl Message) {
    let address = gateway.otlp_http.expect("a receiver");
    let body = request.encode_to_vec();
    let headers = [("content-type", "application/x-protobuf")];
    http(address, "POST", &format!("/v1/{signal}"), &headers, &body).await;
}

/// Nanoseconds since the epoch.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("a clock").as_nanos() as u64
}
