//! Whatever a real SDK sends into the gateway comes out of it the same.
//!
//! The oracle is a copy of the requests, taken on the wire before the gateway; the other side is what a
//! recording backend behind the gateway got. Both are decoded by the OpenTelemetry project's own messages.

#![expect(clippy::unwrap_used, reason = "a poisoned lock fails the story")]

mod backend;
mod death;
mod emitters;
mod tee;

use std::{env, fs, net::SocketAddr, path::Path};

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message;
use weir_integration::{eventually, weir::Gateway};

use self::{
    backend::Received,
    emitters::Sdk,
    tee::{Sent, Tee},
};

/// Every resource of the requests, encoded, in an order of their own: exporters may merge requests.
fn resources<R, M: Message>(requests: &[R], of: impl Fn(&R) -> &[M]) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = requests
        .iter()
        .flat_map(of)
        .map(Message::encode_to_vec)
        .collect();
    all.sort();
    all
}

fn decoded<M: Message + Default + for<'a> serde::Deserialize<'a>>(
    sent: &[Sent],
    service: &str,
    path: &str,
) -> anyhow::Result<Vec<M>> {
    let ours = sent
        .iter()
        .filter(|sent| sent.path == path || sent.path.contains(service));
    ours.map(|sent| {
        let message = sent.message()?;
        if sent.content_type.starts_with("application/json") {
            serde_json::from_slice(&message).context("JSON of the SDK")
        } else {
            M::decode(message.as_slice()).context("protobuf of the SDK")
        }
    })
    .collect()
}

/// What the SDK sent, as encoded resources: traces, metrics, logs.
fn expected(sent: &[Sent]) -> anyhow::Result<[Vec<Vec<u8>>; 3]> {
    let traces: Vec<ExportTraceServiceRequest> = decoded(sent, ".TraceService/", "/v1/traces")?;
    let metrics: Vec<ExportMetricsServiceRequest> =
        decoded(sent, ".MetricsService/", "/v1/metrics")?;
    let logs: Vec<ExportLogsServiceRequest> = decoded(sent, ".LogsService/", "/v1/logs")?;
    Ok([
        resources(&traces, |request| &request.resource_spans),
        resources(&metrics, |request| &request.resource_metrics),
        resources(&logs, |request| &request.resource_logs),
    ])
}

fn arrived(received: &Received) -> [Vec<Vec<u8>>; 3] {
    [
        resources(&received.traces.lock().unwrap(), |request| {
            &request.resource_spans
        }),
        resources(&received.metrics.lock().unwrap(), |request| {
            &request.resource_metrics
        }),
        resources(&received.logs.lock().unwrap(), |request| {
            &request.resource_logs
        }),
    ]
}

/// A folder to keep requests in as they were on the wire, for the tests of other crates.
const SAMPLES: &str = "WEIR_SDK_SAMPLES";

/// Keeps the largest request of each signal that is protobuf.
fn keep(sent: &[Sent], sdk: Sdk, protocol: &str, folder: &Path) -> anyhow::Result<()> {
    if protocol != "http/protobuf" {
        return Ok(());
    }
    for signal in ["traces", "metrics", "logs"] {
        let ours = sent.iter().filter(|sent| sent.path.ends_with(signal));
        let messages = ours
            .map(Sent::message)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut largest = messages
            .into_iter()
            .max_by_key(Vec::len)
            .context("no request")?;
        hide(
            &mut largest,
            env!("CARGO_MANIFEST_DIR").trim_end_matches("/integration"),
        );
        let name = format!("{sdk:?}-{signal}.bin").to_lowercase();
        fs::write(folder.join(name), largest)?;
    }
    Ok(())
}

/// Stack traces name the folder of the repository, which is nobody's business. The length stays, so that the request
/// is still one.
fn hide(message: &mut [u8], folder: &str) {
    let mut at = 0;
    while let Some(part) = message.get_mut(at..at + folder.len()) {
        if part == folder.as_bytes() {
            part[1..].fill(b'x');
        }
        at += 1;
    }
}

async fn round_trip(sdk: Sdk, protocols: &[&str]) -> anyhow::Result<()> {
    for protocol in protocols {
        for compression in ["none", "gzip"] {
            let case = format!("{sdk:?} over {protocol}, compression {compression}");
            let (address, received) = backend::start().await?;
            let (_gateway, otlp) = Gateway::start_otlp(&format!(
                "otlp_exporters:\n  backend:\n    endpoint: http://{address}\n"
            ))?;
            let entry: SocketAddr = if *protocol == "grpc" {
                otlp.grpc
            } else {
                otlp.http
            };
            let tee = Tee::to(entry).await?;
            let case_protocol = (*protocol).to_owned();
            let (protocol, to) = (case_protocol.clone(), tee.address.to_string());
            tokio::task::spawn_blocking(move || sdk.emit(&protocol, &to, compression))
                .await?
                .context(case.clone())?;

            if compression == "none"
                && let Some(folder) = env::var_os(SAMPLES)
            {
                keep(&tee.sent(), sdk, &case_protocol, Path::new(&folder))?;
            }
            let expected = expected(&tee.sent())?;
            for (what, signal) in expected.iter().zip(["traces", "metrics", "logs"]) {
                assert!(!what.is_empty(), "{case}: no {signal} were sent");
            }
            eventually(&case, || {
                let arrived = arrived(&received);
                let counts = |of: &[Vec<Vec<u8>>; 3]| of.each_ref().map(Vec::len);
                if arrived == expected {
                    Ok(())
                } else {
                    Err(format!(
                        "{:?} instead of {:?}",
                        counts(&arrived),
                        counts(&expected)
                    ))
                }
            })?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_the_python_sdk_sends_comes_out_the_same() -> anyhow::Result<()> {
    round_trip(Sdk::Python, &["grpc", "http/protobuf"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_the_node_sdk_sends_comes_out_the_same() -> anyhow::Result<()> {
    round_trip(Sdk::Node, &["grpc", "http/protobuf", "http/json"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_the_go_sdk_sends_comes_out_the_same() -> anyhow::Result<()> {
    round_trip(Sdk::Go, &["grpc", "http/protobuf"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_the_java_sdk_sends_comes_out_the_same() -> anyhow::Result<()> {
    round_trip(Sdk::Java, &["grpc", "http/protobuf"]).await
}
