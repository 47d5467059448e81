//! One connection, from its first byte to its end.

use std::{
    convert::Infallible,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    answer::Answer,
    grpc, http as otlp_http,
    intake::Intake,
    meter::{ConnectionEvent, Transport},
};

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A peer that does not answer within both is gone.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(20);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(10);
/// Calls under way on one connection.
const STREAMS: u32 = 128;
/// What may be on its way in one call, and in all calls of one connection, in bytes.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Larger frames mean fewer of them; memory for one is held per connection.
const FRAME: u32 = 64 * 1024;
/// For headers; bodies pass through it.
const HTTP1_BUFFER: usize = 64 * 1024;

/// What a connection needs.
pub(crate) struct Connection {
    pub(crate) transport: Transport,
    pub(crate) intake: Arc<Intake>,
    pub(crate) stop: CancellationToken,
}

enum Version {
    Http1,
    Http2,
}

impl Connection {
    /// Serves it to its end.
    pub(crate) async fn serve(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        match tls {
            None => self.begin(stream).await,
            Some(tls) => {
                let handshake = self.within(tls.accept(stream)).await;
                if let Some(stream) = handshake {
                    self.begin(stream).await;
                }
            }
        }
    }

    async fn begin<I>(self, mut io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if let Some((version, read)) = self.within(version(&mut io)).await {
            self.intake
                .meter
                .connection(self.transport, ConnectionEvent::Opened);
            let io = TokioIo::new(Rewound { read, io });
            let served = match version {
                Version::Http1 => self.http1(io).await,
                Version::Http2 => self.http2(io).await,
            };
            if let Err(error) = served {
                debug!(
                    error = &error as &dyn std::error::Error,
                    transport = self.transport.name(),
                    "connection broken"
                );
                self.intake
                    .meter
                    .connection(self.transport, ConnectionEvent::Broken);
            }
            self.intake
                .meter
                .connection(self.transport, ConnectionEvent::Closed);
        }
    }

    /// What must be done before the first request, in time and before a stop.
    async fn within<T>(&self, step: impl Future<Output = io::Result<T>>) -> Option<T> {
        let time = self.intake.limits.time;
        let done = tokio::select! {
            done = timeout(time, step) => done.map_err(|_elapsed| io::ErrorKind::TimedOut.into()),
            () = self.stop.cancelled() => return None,
        };
        match done.flatten() {
            Ok(value) => Some(value),
            Err(error) => {
                debug!(
                    error = &error as &dyn std::error::Error,
                    transport = self.transport.name(),
                    "no connection came about"
                );
                let event = ConnectionEvent::HandshakeFailed;
                self.intake.meter.connection(self.transport, event);
                None
            }
        }
    }

    async fn http1<I>(&self, io: TokioIo<I>) -> hyper::Result<()>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| answer(&self.intake, self.transport, request));
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.intake.limits.time)
            .max_buf_size(HTTP1_BUFFER)
            // A client may close its side after the request and still wait for the answer.
            .half_close(true);
        let mut connection = pin!(builder.serve_connection(io, service));
        tokio::select! {
            served = connection.as_mut() => return served,
            () = self.stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }

    async fn http2<I>(&self, io: TokioIo<I>) -> hyper::Result<()>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (intake, transport) = (Arc::clone(&self.intake), self.transport);
        let service = service_fn(move |request| answer(&intake, transport, request));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_AFTER)
            .keep_alive_timeout(KEEPALIVE_WITHIN)
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME);
        let mut connection = pin!(builder.serve_connection(io, service));
        tokio::select! {
            served = connection.as_mut() => return served,
            () = self.stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}

fn answer(
    intake: &Arc<Intake>,
    transport: Transport,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Answer>, Infallible>> + Send + use<> {
    let intake = Arc::clone(intake);
    async move {
        Ok(match transport {
            Transport::Grpc => grpc::serve(intake, request).await,
            Transport::Http => otlp_http::serve(intake, request).await,
        })
    }
}

/// Reads until it is known which version of HTTP the client speaks; returns what was read.
async fn version(io: &mut (impl AsyncRead + Unpin)) -> io::Result<(Version, Vec<u8>)> {
    let mut read = Vec::with_capacity(PREFACE.len());
    while PREFACE.starts_with(&read) {
        if read.len() == PREFACE.len() {
            return Ok((Version::Http2, read));
        }
        let mut rest = (&mut *io).take((PREFACE.len() - read.len()) as u64);
        if rest.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((Version::Http1, read))
}

/// A connection whose first bytes have been read already.
struct Rewound<I> {
    read: Vec<u8>,
    io: I,
}

impl<I: AsyncRead + Unpin> AsyncRead for Rewound<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, buffer);
        }
        let now = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read[..now]);
        self.read.drain(..now);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Rewound<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
