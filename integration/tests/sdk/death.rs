//! A gateway that is killed with a full queue.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use rustix::process::Signal;
use weir_integration::{eventually, weir::Gateway};

use crate::backend;

/// A request of ten spans; their ids say which it is.
fn request(number: u32) -> ExportTraceServiceRequest {
    let span = |at: u32| Span {
        trace_id: vec![7; 16],
        span_id: u64::from(number * 10 + at + 1).to_be_bytes().to_vec(),
        name: "x".repeat(1000),
        ..Span::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: (0..10).map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

fn ids<'a>(requests: impl IntoIterator<Item = &'a ExportTraceServiceRequest>) -> BTreeSet<Vec<u8>> {
    let resources = requests
        .into_iter()
        .flat_map(|request| &request.resource_spans);
    let scopes = resources.flat_map(|resource| &resource.scope_spans);
    scopes
        .flat_map(|scope| &scope.spans)
        .map(|span| span.span_id.clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed_with_a_full_queue_loses_nothing_that_it_accepted()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // Nobody listens here yet.
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let config = format!(
        "otlp_exporters:\n  backend:\n    endpoint: http://{address}\n    queue:\n      size: 1MiB\n      folder: {}\n",
        folder.path().join("queue").display()
    );
    let (mut gateway, otlp) = Gateway::start_otlp(&config)?;
    let mut client = TraceServiceClient::connect(format!("http://{}", otlp.grpc)).await?;
    let mut accepted = Vec::new();
    let refused = loop {
        let request = request(accepted.len() as u32);
        match client.export(request.clone()).await {
            Ok(_) => accepted.push(request),
            Err(status) => break status,
        }
    };
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
    assert!(accepted.len() > 50, "{} requests fitted", accepted.len());
    gateway.process.signal(Signal::KILL)?;
    gateway.process.ended()?;

    let received = backend::start_at(address).await?;
    let (_again, _) = Gateway::start_otlp(&config)?;

    let wanted = ids(&accepted);
    eventually("everything that was accepted to arrive", || {
        let arrived = ids(received.traces.lock().unwrap().iter());
        if arrived == wanted {
            return Ok(());
        }
        Err(format!("{} of {} spans", arrived.len(), wanted.len()))
    })
}
