//! What forwarding costs: CPU time of this process from the offer to the answer of an endpoint, which
//! is a process of its own. Criterion's times are CPU times, its throughput is per CPU second.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use criterion::{Criterion, Throughput};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;
use rustix::time::{ClockId, clock_gettime};
use tokio::{net::TcpListener, runtime::Runtime, time::sleep};
use tonic::{Request, Response, Status, transport::Server, transport::server::TcpIncoming};
use weir_gateway::{
    exporter::{Config, Exporter},
    self_metrics::SelfMetrics,
};
use weir_point::otlp::{OtlpBatch, Signal};
use weir_runtime::{config::Document, stop::Deadline};

const SINK: &str = "WEIR_BENCH_SINK";
/// Forwarded in one iteration.
const VOLUME: usize = 64 << 20;

/// An endpoint that decodes what it gets, as real ones do, and forgets it.
struct Sink;

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        _request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn serve_sink() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    writeln!(std::io::stdout(), "{address}").expect("a reader");
    Server::builder()
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
        .add_service(TraceServiceServer::new(Sink).max_decoding_message_size(64 << 20))
        .serve_with_incoming(TcpIncoming::from(listener))
        .await
        .expect("served");
}

fn spawn_sink() -> (Child, SocketAddr) {
    let mut child = Command::new(env::current_exe().expect("this program"))
        .env(SINK, "yes")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program again");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe"))
        .read_line(&mut line)
        .expect("its address");
    let address = line.trim().parse().expect("an address");
    (child, address)
}

/// A request of `spans` spans with ten attributes each, about 460 bytes a span.
fn request(spans: usize) -> OtlpBatch {
    let attribute = |number: usize| KeyValue {
        key: format!("attribute.number.{number}"),
        value: Some(AnyValue {
            value: Some(Value::StringValue(format!("a value {number}"))),
        }),
        ..KeyValue::default()
    };
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "GET /orders/{id}".to_owned(),
        attributes: (0..10).map(attribute).collect(),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans {
        spans: vec![span; spans],
        ..ScopeSpans::default()
    }];
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans,
            ..ResourceSpans::default()
        }],
    };
    OtlpBatch::check(Signal::Traces, request.encode_to_vec().into()).expect("a request")
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).expect("below 10^9"),
    )
}

fn config(text: &str) -> Config {
    let text = format!("otlp_exporters: {{main: {{{text}}}}}");
    let mut all = Document::parse("bench.yaml", &text, "WEIR_BENCH", [])
        .and_then(|document| document.read(Config::read_all))
        .expect("a configuration");
    all.remove(0).1
}

/// Offer `count` times and wait until the endpoint has taken all.
async fn forward(config: Config, batch: &OtlpBatch, count: u64) -> Duration {
    let metrics = SelfMetrics::new();
    let exporter = Exporter::start("main", config, &metrics).expect("an exporter");
    let before = cpu_time();
    for _ in 0..count {
        while exporter.offer(batch).is_err() {
            sleep(Duration::from_millis(2)).await;
        }
        tokio::task::yield_now().await;
    }
    // A stop waits for the queue.
    assert!(
        exporter
            .stop(&Deadline::after(Duration::from_secs(300)))
            .await
    );
    let spent = cpu_time() - before;
    let queued = metrics.render();
    let queued = queued.lines().find(|line| {
        line.starts_with("weir_gateway_exporter_items_queued") && line.contains("traces")
    });
    assert!(
        queued.is_some_and(|line| line.ends_with(" 0")),
        "{queued:?}"
    );
    spent
}

fn forwarding(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (mut sink, address) = spawn_sink();
    let folder = tempfile::tempdir().expect("a folder");
    let on_disk = format!(", folder: '{}'", folder.path().display());
    for (what, spans) in [("1000 spans", 1000), ("16 spans", 16)] {
        let batch = request(spans);
        let count = (VOLUME / batch.bytes().len()) as u64;
        let mut group = criterion.benchmark_group(format!("forward requests of {what}"));
        group.sample_size(10);
        group.throughput(Throughput::Bytes(count * batch.bytes().len() as u64));
        for (queue, more) in [("memory", ""), ("disk", on_disk.as_str())] {
            let keys = format!("endpoint: 'http://{address}', queue: {{size: 16MiB{more}}}");
            group.bench_function(queue, |bencher| {
                bencher.iter_custom(|iterations| {
                    runtime.block_on(forward(config(&keys), &batch, iterations * count))
                });
            });
        }
        group.finish();
    }
    sink.kill().expect("killed");
    sink.wait().expect("gone");
}

fn main() {
    if env::var_os(SINK).is_some() {
        Runtime::new().expect("a runtime").block_on(serve_sink());
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    forwarding(&mut criterion);
    criterion.final_summary();
}
