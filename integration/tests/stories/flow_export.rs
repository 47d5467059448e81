//! Flows on their way through an exporter's queue on disk, and the death of the gateway.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{metric::Data, number_data_point},
};
use rustix::process::Signal;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};
use weir_integration::{
    eventually,
    traffic::{Program, Said},
    weir::{Agent, Gateway},
};

/// A number and the attributes it came with.
type Number = (Vec<KeyValue>, i64);

/// An OTLP backend that keeps the bytes written of every flow, by signal.
#[derive(Clone, Default)]
struct Backend {
    metrics: Arc<Mutex<Vec<Number>>>,
    spans: Arc<Mutex<Vec<Number>>>,
    logs: Arc<Mutex<Vec<Number>>>,
}

const WRITTEN: &str = "weir.network.flow.io.transmit";

impl Backend {
    async fn at(address: SocketAddr) -> anyhow::Result<Self> {
        let backend = Self::default();
        let server = Server::builder()
            .add_service(MetricsServiceServer::new(backend.clone()))
            .add_service(TraceServiceServer::new(backend.clone()))
            .add_service(LogsServiceServer::new(backend.clone()));
        let listener = tokio::net::TcpListener::bind(address).await?;
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(backend)
    }

    /// What clients wrote to `port`, as each signal says.
    fn written(&self, port: u16) -> [i64; 3] {
        [&self.metrics, &self.spans, &self.logs].map(|numbers| {
            let numbers = numbers.lock().unwrap();
            let of_port = numbers
                .iter()
                .filter(|(attributes, _)| int(attributes, "destination.port") == Some(port.into()));
            of_port.map(|(_, number)| number).sum()
        })
    }
}

fn int(attributes: &[KeyValue], key: &str) -> Option<i64> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::IntValue(number) => Some(*number),
        _ => None,
    }
}

fn is(attributes: &[KeyValue], key: &str, wanted: &str) -> bool {
    attributes.iter().any(|attribute| {
        let value = attribute.value.as_ref().and_then(|v| v.value.as_ref());
        attribute.key == key && matches!(value, Some(Value::StringValue(text)) if text == wanted)
    })
}

#[tonic::async_trait]
impl MetricsService for Backend {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let resources = request.into_inner().resource_metrics.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_metrics);
        for metric in scopes.flat_map(|scope| scope.metrics) {
            let Some(Data::Sum(sum)) = metric.data else {
                continue;
            };
            for point in sum.data_points {
                let written = is(&point.attributes, "network.io.direction", "transmit");
                if let Some(number_data_point::Value::AsInt(number)) = point.value
                    && metric.name == "weir.network.flow.io"
                    && written
                {
                    self.metrics
                        .lock()
                        .unwrap()
                        .push((point.attributes, number));
                }
            }
        }
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Backend {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        for span in scopes.flat_map(|scope| scope.spans) {
            let number = int(&span.attributes, WRITTEN).unwrap_or_default();
            self.spans.lock().unwrap().push((span.attributes, number));
        }
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Backend {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let resources = request.into_inner().resource_logs.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_logs);
        for log in scopes.flat_map(|scope| scope.log_records) {
            let number = int(&log.attributes, WRITTEN).unwrap_or_default();
            self.logs.lock().unwrap().push((log.attributes, number));
        }
        Ok(Response::new(Default::default()))
    }
}

/// Exchanges a known number of bytes and returns the port and what the client said.
fn exchange() -> anyhow::Result<(u16, Said)> {
    let program = Program::named("ledger")?;
    let serve = "serve --listen 127.0.0.1:0 --expect 654321 --send 98 --connections 3";
    let mut server = program.run(None, serve)?;
    let port = server.port()?;
    let connect =
        format!("connect --to 127.0.0.1:{port} --send 654321 --expect 98 --connections 3");
    Ok((port, program.run(None, &connect)?.said()?))
}

/// Waits until the gateway has acknowledged every row of `connections` closed connections to `port`.
fn acknowledged(gateway: &Gateway, port: u16, connections: f64) -> anyhow::Result<()> {
    let port = format!(r#"destination_port="{port}""#);
    eventually("the rows to be acknowledged", || {
        let metric = |name: &str, labels: &[&str]| {
            let value = gateway.metric(name, labels);
            value.map_err(|error| error.to_string())
        };
        let closed = metric("weir_network_tcp_closed_total", &[&port])?;
        let rows = metric("weir_agent_uplink_rows_total", &[])?;
        let acked = metric("weir_agent_uplink_rows_acked_total", &[])?;
        if closed == connections && rows > 0.0 && rows == acked {
            Ok(())
        } else {
            Err(format!(
                "{closed} closed, {rows} rows, {acked} acknowledged"
            ))
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flows_that_were_acknowledged_survive_a_kill_of_the_gateway_to_the_last_byte()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // Nobody listens here yet.
    let backend = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let more = format!(
        "otlp_exporters:\n  backend:\n    endpoint: http://{backend}\n    queue: {{folder: {}}}\n    flows: {{as: [metrics, spans, logs], gather: 0s}}\n",
        folder.path().join("queue").display()
    );
    let mut gateway = Gateway::start(&more)?;
    let address = gateway.flow.to_string();
    let agent = Agent::start(gateway.flow, "")?;
    let (first, said_first) = exchange()?;
    acknowledged(&gateway, first, 3.0)?;
    gateway.process.signal(Signal::KILL)?;
    gateway.process.ended()?;

    // The second exchange happens while there is no gateway.
    let (second, said_second) = exchange()?;
    let gateway = Gateway::start_at(&address, &more)?;
    acknowledged(&gateway, second, 3.0)?;
    let backend = Backend::at(backend).await?;
    for (port, said) in [(first, said_first), (second, said_second)] {
        let wanted = [said.written as i64; 3];
        eventually("every byte at the backend, once", || {
            let written = backend.written(port);
            if written == wanted {
                Ok(())
            } else {
                Err(format!("port {port}: {written:?} instead of {wanted:?}"))
            }
        })?;
    }
    agent.process.stop()?;
    gateway.process.stop()?;
    Ok(())
}
