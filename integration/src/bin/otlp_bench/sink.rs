//! The sink behind a forwarding server: answers every export, decodes nothing.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{Service, http},
    server::{Grpc, NamedService, UnaryService},
    transport::Server,
};

use crate::load::Raw;

type Answer<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

struct Export;

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = Answer<Response<Bytes>, Status>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        Box::pin(async { Ok(Response::new(Bytes::new())) })
    }
}

macro_rules! service {
    ($type:ident, $name:literal) => {
        #[derive(Clone)]
        struct $type;

        impl NamedService for $type {
            const NAME: &'static str = $name;
        }

        impl Service<http::Request<Body>> for $type {
            type Response = http::Response<Body>;
            type Error = Infallible;
            type Future = Answer<Self::Response, Infallible>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<Body>) -> Self::Future {
                Box::pin(async {
                    let mut server = Grpc::new(Raw).max_decoding_message_size(64 << 20);
                    Ok(server.unary(Export, request).await)
                })
            }
        }
    };
}

service!(
    Traces,
    "opentelemetry.proto.collector.trace.v1.TraceService"
);
service!(
    Metrics,
    "opentelemetry.proto.collector.metrics.v1.MetricsService"
);

/// Serves until killed.
pub(crate) async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let server = Server::builder().add_service(Traces).add_service(Metrics);
    Ok(server.serve(listen).await?)
}
