//! A wire between an SDK and the gateway that keeps a copy of every request body, unchanged.

use std::{
    convert::Infallible,
    io::Read as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, Version, body::Incoming, header, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;

/// One request of an SDK.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Path of the request.
    pub(crate) path: String,
    /// `Content-Type`.
    pub(crate) content_type: String,
    content_encoding: String,
    body: Bytes,
}

impl Sent {
    /// The message that the body carries, without framing and compression.
    pub(crate) fn message(&self) -> anyhow::Result<Vec<u8>> {
        if !self.content_type.starts_with("application/grpc") {
            return decompress(&self.content_encoding, &self.body);
        }
        // One byte says whether the message is compressed, four how long it is.
        let (head, message) = self.body.split_at_checked(5).context("no gRPC frame")?;
        let encoding = if head[0] == 1 { "gzip" } else { "" };
        decompress(encoding, message)
    }
}

fn decompress(encoding: &str, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    match encoding {
        "" | "identity" => Ok(bytes.to_vec()),
        "gzip" => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain)?;
            Ok(plain)
        }
        other => bail!("the SDK compresses with {other}"),
    }
}

/// The wire.
pub(crate) struct Tee {
    /// Where the SDK connects.
    pub(crate) address: SocketAddr,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Tee {
    /// A wire to `gateway`, for HTTP/1.1 and for HTTP/2 without TLS.
    pub(crate) async fn to(gateway: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let tee = Self {
            address: listener.local_addr()?,
            sent: Arc::default(),
        };
        let sent = Arc::clone(&tee.sent);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sent = Arc::clone(&sent);
                let service =
                    service_fn(move |request| forward(request, gateway, Arc::clone(&sent)));
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    // A client that leaves ends its connection with an error; the requests are what counts.
                    let _left = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(tee)
    }

    /// Every request that the gateway has accepted.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }
}

async fn forward(
    request: Request<Incoming>,
    gateway: SocketAddr,
    sent: Arc<Mutex<Vec<Sent>>>,
) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, hyper::Error>>, Infallible> {
    match pass(request, gateway, sent).await {
        Ok(response) => Ok(response),
        Err(error) => {
            let text = Full::new(Bytes::from(format!("{error:#}"))).map_err(|never| match never {});
            let mut response = Response::new(text.boxed());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            Ok(response)
        }
    }
}

async fn pass(
    request: Request<Incoming>,
    gateway: SocketAddr,
    sent: Arc<Mutex<Vec<Sent>>>,
) -> anyhow::Result<Response<http_body_util::combinators::BoxBody<Bytes, hyper::Error>>> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let value = |name| {
        let value = head.headers.get(name).map(|value| value.to_str());
        value
            .transpose()
            .map(|value| value.unwrap_or_default().to_owned())
    };
    let copy = Sent {
        path: head.uri.path().to_owned(),
        content_type: value(header::CONTENT_TYPE)?,
        content_encoding: value(header::CONTENT_ENCODING)?,
        body: body.clone(),
    };
    let is_http2 = head.version == Version::HTTP_2;
    head.uri = format!("http://{gateway}{}", copy.path).parse()?;
    let client = Client::builder(TokioExecutor::new())
        .http2_only(is_http2)
        .build_http();
    let response = client
        .request(Request::from_parts(head, Full::new(body)))
        .await?;
    if response.status().is_success() {
        sent.lock().unwrap().push(copy);
    }
    Ok(response.map(BodyExt::boxed))
}
