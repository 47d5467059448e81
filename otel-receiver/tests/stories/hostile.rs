//! Bytes from those who mean no good, or whose software is broken.

use std::time::{Duration, Instant};

use fastrand::Rng;
use weir_point::otlp::Signal;

use crate::support::{
    JSON, PROTOBUF, Server, deflate, gzip, logs, metrics, post, request_of, server, traces, zstd,
};

/// One connection for many requests; reconnects when the server has closed it.
struct Client<'a> {
    server: &'a Server,
    sender: Option<Sender>,
}

type Sender = hyper::client::conn::http1::SendRequest<http_body_util::Full<bytes::Bytes>>;

impl Client<'_> {
    async fn status(&mut self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> u16 {
        use http_body_util::BodyExt;
        if self.sender.as_ref().is_none_or(Sender::is_closed) {
            self.sender = None;
        }
        let sender = match &mut self.sender {
            Some(sender) => sender,
            none => {
                let stream = tokio::net::TcpStream::connect(self.server.http)
                    .await
                    .expect("a listener");
                let io = hyper_util::rt::TokioIo::new(stream);
                let (sender, connection) = hyper::client::conn::http1::handshake(io)
                    .await
                    .expect("a connection");
                tokio::spawn(connection);
                none.insert(sender)
            }
        };
        let mut request = http::Request::post(path).header("host", "weir");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = http_body_util::Full::new(bytes::Bytes::from(body));
        sender.ready().await.expect("an open connection");
        let response = sender
            .send_request(request.body(body).expect("a request"))
            .await
            .expect("an answer");
        let status = response.status().as_u16();
        response.into_body().collect().await.expect("a body");
        status
    }
}

#[tokio::test]
async fn a_request_cut_anywhere_is_refused_or_a_shorter_one() {
    let server = server(&[]).await;
    let mut client = Client {
        server: &server,
        sender: None,
    };
    for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
        let path = format!("/v1/{}", signal.name());
        let whole = request_of(signal);
        for length in 1..whole.len() {
            let status = client
                .status(&path, &[PROTOBUF], whole[..length].to_vec())
                .await;
            assert_eq!(status, 400, "{path} cut at {length}");
        }
        assert_eq!(client.status(&path, &[PROTOBUF], Vec::new()).await, 200);
    }
    assert_eq!(server.consumer.batches().len(), 3);
}

#[tokio::test]
async fn json_cut_anywhere_is_refused() {
    let server = server(&[]).await;
    let mut client = Client {
        server: &server,
        sender: None,
    };
    let whole = serde_json::to_vec(&traces(1)).expect("JSON");
    for length in 0..whole.len() {
        let status = client
            .status("/v1/traces", &[JSON], whole[..length].to_vec())
            .await;
        assert_eq!(status, 400, "cut at {length}");
    }
}

#[tokio::test]
async fn a_compressed_body_cut_anywhere_is_refused() {
    let server = server(&[]).await;
    let mut client = Client {
        server: &server,
        sender: None,
    };
    let whole = request_of(Signal::Logs);
    let bodies = [
        ("gzip", gzip(&whole)),
        ("deflate", deflate(&whole)),
        ("zstd", zstd(&whole)),
    ];
    for (coding, body) in bodies {
        let headers = [PROTOBUF, ("content-encoding", coding)];
        for length in 0..body.len() {
            let status = client
                .status("/v1/logs", &headers, body[..length].to_vec())
                .await;
            assert_eq!(status, 400, "{coding} cut at {length}");
        }
    }
}

/// Changes some bytes, takes some out, puts some in, repeats some.
fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..6) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.usize(..bytes.len());
        let end = (at + rng.usize(..40)).min(bytes.len());
        match rng.u8(..6) {
            0 => bytes[at] = rng.u8(..),
            1 => bytes[at] ^= 1 << rng.u8(..8),
            2 => drop(bytes.drain(at..end)),
            3 => bytes.insert(at, rng.u8(..)),
            4 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => bytes[at] = *rng.choice(b"{}[]\",:0-\\\x00\xff").expect("some"),
        }
    }
}

#[tokio::test]
async fn mutated_requests_are_answered_like_all_others() {
    let server = server(&[("max_message", "256KiB"), ("memory", "8MiB")]).await;
    let mut client = Client {
        server: &server,
        sender: None,
    };
    let mut rng = Rng::with_seed(4318);
    let json = |value: serde_json::Result<Vec<u8>>| value.expect("JSON");
    let seeds = [
        (Signal::Traces, json(serde_json::to_vec(&traces(1)))),
        (Signal::Metrics, json(serde_json::to_vec(&metrics()))),
        (Signal::Logs, json(serde_json::to_vec(&logs()))),
    ];
    let until = Instant::now() + Duration::from_secs(4);
    let (mut sent, mut accepted) = (0_u32, 0_u32);
    while Instant::now() < until {
        let (signal, json) = rng.choice(&seeds).expect("some");
        let (language, mut body) = if rng.bool() {
            (JSON, json.clone())
        } else {
            (PROTOBUF, request_of(*signal))
        };
        if rng.bool() {
            mutate(&mut rng, &mut body);
        }
        let coding = *rng
            .choice(["identity", "gzip", "deflate", "zstd"])
            .as_ref()
            .expect("some");
        let mut body = match coding {
            "gzip" => gzip(&body),
            "deflate" => deflate(&body),
            "zstd" => zstd(&body),
            _ => body,
        };
        if rng.u8(..4) == 0 {
            mutate(&mut rng, &mut body);
        }
        let path = format!("/v1/{}", signal.name());
        let headers = [language, ("content-encoding", coding)];
        let status = client.status(&path, &headers, body).await;
        assert!(matches!(status, 200 | 400 | 413), "{status}");
        sent += 1;
        accepted += u32::from(status == 200);
    }
    assert!(accepted > 0 && accepted < sent, "{accepted} of {sent}");
    assert_eq!(server.consumer.batches().len(), accepted as usize);

    // All memory has been given back.
    let reply = post(server.http, "/v1/traces", &[JSON], seeds[0].1.clone()).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn nesting_has_an_end() {
    let server = server(&[]).await;
    let array = |depth: usize| {
        let open = "{\"arrayValue\":{\"values\":[".repeat(depth);
        let close = "]}}".repeat(depth);
        format!(
            "{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{\"body\":{open}{close}}}]}}]}}]}}"
        )
    };
    let reply = post(server.http, "/v1/logs", &[JSON], array(20)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    for depth in [100, 100_000] {
        let reply = post(server.http, "/v1/logs", &[JSON], array(depth)).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text().contains("recursion"), "{}", reply.text());
    }
    // Unknown keys are skipped, however deep.
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let reply = post(server.http, "/v1/logs", &[JSON], deep).await;
    assert!(matches!(reply.status.as_u16(), 200 | 400));
}
