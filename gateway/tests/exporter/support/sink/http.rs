//! OTLP/HTTP with protobuf, at any path that ends as it should.

use std::{future::pending, io::Read as _, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, State as Shared},
    serve::Listener,
};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Uri, header};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message as _;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Answer, State, TlsFiles};
use crate::support::SIGNALS;

pub(super) async fn serve(listener: TcpListener, state: Arc<State>, tls: Option<TlsFiles>) {
    let router = Router::new()
        .fallback(take)
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(state);
    match tls {
        None => axum::serve(listener, router).await,
        Some(tls) => axum::serve(TlsListener::new(listener, &tls), router).await,
    }
    .expect("served");
}

async fn take(
    Shared(state): Shared<Arc<State>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path();
    let signal = SIGNALS
        .into_iter()
        .find(|signal| path.ends_with(&format!("/v1/{}", signal.name())))
        .unwrap_or_else(|| panic!("a request to {path}"));
    assert_eq!(headers[header::CONTENT_TYPE], "application/x-protobuf");
    let bytes = decompressed(&headers, &body);
    let (status, more, body) = match state.arrived(signal, bytes, headers, path) {
        None => (200, Vec::new(), Vec::new()),
        Some(Answer::Http(status, headers, body)) => (status, headers, body),
        Some(Answer::Partial(rejected_spans, message)) => {
            let response = ExportTraceServiceResponse {
                partial_success: Some(ExportTracePartialSuccess {
                    rejected_spans,
                    error_message: message.to_owned(),
                }),
            };
            (200, Vec::new(), response.encode_to_vec())
        }
        Some(Answer::Hang) => pending().await,
        Some(other) => panic!("no HTTP answer: {other:?}"),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        "application/x-protobuf".parse().expect("a header"),
    );
    for (name, value) in more {
        headers.insert(name, value.parse().expect("a header"));
    }
    response
}

fn decompressed(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    match encoding.map(|value| value.to_str().expect("text")) {
        None => body.to_vec(),
        Some("gzip") => {
            let mut bytes = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(body);
            decoder.read_to_end(&mut bytes).expect("gzip");
            bytes
        }
        Some("zstd") => zstd::decode_all(body).expect("zstd"),
        Some(other) => panic!("content-encoding {other}"),
    }
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl TlsListener {
    fn new(tcp: TcpListener, tls: &TlsFiles) -> Self {
        let certificates = CertificateDer::pem_slice_iter(tls.cert.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(tls.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .expect("a certificate and its key");
        Self {
            tcp,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.tcp.accept().await.expect("a connection");
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
