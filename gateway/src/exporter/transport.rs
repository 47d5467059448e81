//! One attempt to send one request, over gRPC or HTTP.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header, uri};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::timeout;
use weir_point::otlp::Signal;

use super::{
    answer::{self, Answer, Failure},
    body::Pieces,
    config::{Compression, Config, Protocol},
    tls::{self, TlsError},
};

/// The way to one endpoint; connects when there is something to send.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Pieces>,
    protocol: Protocol,
    compression: Compression,
    /// One per signal.
    targets: [Uri; 3],
    headers: HeaderMap,
    timeout: Duration,
}

/// Well above any answer an endpoint has reason to give.
const LARGEST_ANSWER: usize = 1 << 20;
/// A connection that does not answer within both is gone.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(20);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(90);

const GRPC_PATHS: [&str; 3] = [
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
];
const HTTP_PATHS: [&str; 3] = ["/v1/traces", "/v1/metrics", "/v1/logs"];

impl Transport {
    pub(super) fn new(config: &Config) -> Result<Self, TlsError> {
        let secure = config.endpoint.scheme() == Some(&uri::Scheme::HTTPS);
        let tls = tls::client(&config.tls, secure)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(config.timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http();
        let grpc = config.protocol == Protocol::Grpc;
        let connector = if grpc {
            connector.enable_http2().wrap_connector(tcp)
        } else {
            connector.enable_all_versions().wrap_connector(tcp)
        };
        let client = Client::builder(TokioExecutor::new())
            .http2_only(grpc)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http2_keep_alive_interval(KEEPALIVE_AFTER)
            .http2_keep_alive_timeout(KEEPALIVE_WITHIN)
            .build(connector);
        Ok(Self {
            client,
            protocol: config.protocol,
            compression: config.compression,
            targets: targets(&config.endpoint, config.protocol),
            headers: headers(config),
            timeout: config.timeout,
        })
    }

    /// How to encode the body of a request.
    pub(super) fn encoding(&self) -> (Compression, Protocol) {
        (self.compression, self.protocol)
    }

    /// Send `body` once.
    pub(super) async fn attempt(&self, signal: Signal, body: Pieces) -> Answer {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.targets[signal as usize].clone();
        *request.headers_mut() = self.headers.clone();
        match timeout(self.timeout, self.exchange(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => Answer::Later {
                after: None,
                failure,
            },
            Err(_elapsed) => Answer::Later {
                after: None,
                failure: Failure::Timeout(self.timeout),
            },
        }
    }

    async fn exchange(&self, request: Request<Pieces>) -> Result<Answer, Failure> {
        let response = self
            .client
            .request(request)
            .await
            .map_err(Failure::Unreachable)?;
        let (head, body) = response.into_parts();
        let (trailers, body) = match Limited::new(body, LARGEST_ANSWER).collect().await {
            Ok(body) => (body.trailers().cloned(), body.to_bytes()),
            // The status says enough.
            Err(error) if error.is::<LengthLimitError>() => (None, Bytes::new()),
            Err(error) => return Err(Failure::BrokenOff(error)),
        };
        let response = Response::from_parts(head, body);
        Ok(self.judge(&response, trailers.as_ref()))
    }

    fn judge(&self, response: &Response<Bytes>, trailers: Option<&HeaderMap>) -> Answer {
        let (status, headers, body) = (response.status(), response.headers(), response.body());
        match self.protocol {
            Protocol::Grpc => answer::grpc(status, headers, body, trailers),
            Protocol::Http => answer::http(status, headers, body),
        }
    }
}

fn targets(endpoint: &Uri, protocol: Protocol) -> [Uri; 3] {
    let paths = match protocol {
        Protocol::Grpc => GRPC_PATHS,
        Protocol::Http => HTTP_PATHS,
    };
    let base = endpoint.path().trim_end_matches('/');
    paths.map(|path| {
        let mut parts = endpoint.clone().into_parts();
        // Both parts are paths already.
        parts.path_and_query = uri::PathAndQuery::try_from(format!("{base}{path}")).ok();
        Uri::from_parts(parts).unwrap_or_else(|_invalid| endpoint.clone())
    })
}

fn headers(config: &Config) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let agent = HeaderValue::from_static(concat!("weir-gateway/", env!("CARGO_PKG_VERSION")));
    headers.insert(header::USER_AGENT, agent);
    let encoding = match config.compression {
        Compression::None => None,
        Compression::Gzip => Some(HeaderValue::from_static("gzip")),
        Compression::Zstd => Some(HeaderValue::from_static("zstd")),
    };
    let (kind, encoding_name) = match config.protocol {
        Protocol::Grpc => {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
            let millis = config.timeout.as_millis().clamp(1, MOST_GRPC_MILLIS);
            if let Ok(value) = HeaderValue::try_from(format!("{millis}m")) {
                headers.insert(HeaderName::from_static("grpc-timeout"), value);
            }
            ("application/grpc", HeaderName::from_static("grpc-encoding"))
        }
        Protocol::Http => ("application/x-protobuf", header::CONTENT_ENCODING),
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(encoding) = encoding {
        headers.insert(encoding_name, encoding);
    }
    headers.extend(config.headers.clone());
    headers
}

/// The number has at most eight digits.
const MOST_GRPC_MILLIS: u128 = 99_999_999;
