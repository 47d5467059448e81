//! The three services of OTLP/gRPC.

use std::{future::pending, sync::Arc};

use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use prost::Message;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    codec::CompressionEncoding::{Gzip, Zstd},
    transport::{Certificate, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};
use weir_point::otlp::Signal;

use super::{Answer, State, TlsFiles};

struct Service(Arc<State>);

pub(super) async fn serve(listener: TcpListener, state: Arc<State>, tls: Option<TlsFiles>) {
    let mut server = Server::builder();
    if let Some(tls) = tls {
        let mut config = ServerTlsConfig::new().identity(Identity::from_pem(tls.cert, tls.key));
        if let Some(ca) = tls.client_ca {
            config = config.client_ca_root(Certificate::from_pem(ca));
        }
        server = server.tls_config(config).expect("a certificate");
    }
    macro_rules! service {
        ($server:ident) => {
            $server::new(Service(Arc::clone(&state)))
                .accept_compressed(Gzip)
                .accept_compressed(Zstd)
                .max_decoding_message_size(64 << 20)
        };
    }
    server
        .add_service(service!(TraceServiceServer))
        .add_service(service!(MetricsServiceServer))
        .add_service(service!(LogsServiceServer))
        .serve_with_incoming(TcpIncoming::from(listener))
        .await
        .expect("served");
}

impl Service {
    /// How many items to reject and what to say about it; `None` to say nothing.
    async fn take<T: Message>(
        &self,
        signal: Signal,
        request: Request<T>,
    ) -> Result<Option<(i64, String)>, Status> {
        let (metadata, _, message) = request.into_parts();
        let bytes = message.encode_to_vec();
        match self.0.arrived(signal, bytes, metadata.into_headers(), "") {
            None => Ok(None),
            Some(Answer::Partial(rejected, message)) => Ok(Some((rejected, message.to_owned()))),
            Some(Answer::Grpc(status)) => Err(status),
            Some(Answer::Hang) => pending().await,
            Some(other) => panic!("no gRPC answer: {other:?}"),
        }
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let partial = self.take(Signal::Traces, request).await?;
        let partial_success =
            partial.map(
                |(rejected_spans, error_message)| ExportTracePartialSuccess {
                    rejected_spans,
                    error_message,
                },
            );
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success,
        }))
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let partial = self.take(Signal::Metrics, request).await?;
        let partial_success =
            partial.map(
                |(rejected_data_points, error_message)| ExportMetricsPartialSuccess {
                    rejected_data_points,
                    error_message,
                },
            );
        Ok(Response::new(ExportMetricsServiceResponse {
            partial_success,
        }))
    }
}

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let partial = self.take(Signal::Logs, request).await?;
        let partial_success =
            partial.map(
                |(rejected_log_records, error_message)| ExportLogsPartialSuccess {
                    rejected_log_records,
                    error_message,
                },
            );
        Ok(Response::new(ExportLogsServiceResponse { partial_success }))
    }
}
