//! OTLP/gRPC: the three Export calls.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::CONTENT_TYPE,
};
use hyper::body::Incoming;
use prost::Message as _;
use tonic::{Code, Status};
use weir_point::otlp::Signal;

use crate::{
    answer::Answer,
    body::{Buffer, Coding, Reader},
    consumer::Taken,
    exchange::Watch,
    intake::Intake,
    meter::{Outcome, Transport},
    partial,
    refusal::Refusal,
};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Comes before every message.
const PREFIX: usize = 5;

/// Answers one call.
pub(crate) async fn serve(intake: Arc<Intake>, request: Request<Incoming>) -> Response<Answer> {
    let mut watch = intake.watch(Transport::Grpc);
    let (head, mut body) = request.into_parts();
    if let Err(refusal) = is_grpc(&head) {
        return not_grpc(watch, &refusal);
    }
    match take(&intake, &head, &mut body, &mut watch).await {
        Ok(taken) => {
            watch.answered_grpc(Outcome::of(&taken), Code::Ok);
            accepted(&taken)
        }
        Err(refusal) => {
            let mut wire = 0;
            Reader::new(&mut body, intake.limits, &mut wire)
                .discard(&refusal)
                .await;
            watch.exchange.wire_bytes += wire;
            watch.answered_grpc(Outcome::Refused(refusal.cause()), refusal.grpc());
            refused(&refusal)
        }
    }
}

async fn take(
    intake: &Intake,
    head: &http::request::Parts,
    body: &mut Incoming,
    watch: &mut Watch,
) -> Result<Taken, Refusal> {
    let signal = signal(head.uri.path())?;
    watch.signal(signal);
    intake.admit(&head.headers)?;
    let coding = head.headers.get(ENCODING).map(HeaderValue::as_bytes);
    let coding = Coding::named(coding)?;
    let buffer = Buffer::new(intake.limits.message, intake.charge());
    let mut reader = Reader::new(body, intake.limits, &mut watch.exchange.wire_bytes);
    // Charged for until the consumer has it.
    let (message, _charge) = reader.message(coding, buffer).await?.into_parts();
    intake.take(signal, message, watch)
}

fn signal(path: &str) -> Result<Signal, Refusal> {
    match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Ok(Signal::Traces),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Ok(Signal::Metrics),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Ok(Signal::Logs),
        _ => Err(Refusal::UnknownPath {
            known: "the method Export of TraceService, MetricsService and LogsService",
        }),
    }
}

fn is_grpc(head: &http::request::Parts) -> Result<(), Refusal> {
    let wanted = "this is the port for OTLP over gRPC, which needs HTTP/2 and application/grpc; \
                  OTLP over HTTP is taken at another one, 4318 by default";
    let name = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.as_bytes().strip_prefix(GRPC.as_bytes()));
    let known = matches!(name, Some([] | [b'+' | b';', ..])) && name != Some(b"+json");
    if !known || head.version != Version::HTTP_2 {
        return Err(Refusal::ContentType { wanted });
    }
    if head.method == Method::POST {
        Ok(())
    } else {
        Err(Refusal::Method)
    }
}

/// The answer to what cannot read an answer of gRPC.
fn not_grpc(watch: Watch, refusal: &Refusal) -> Response<Answer> {
    watch.answered_grpc(Outcome::Refused(refusal.cause()), refusal.grpc());
    let mut response = Response::new(Answer::new(format!("{refusal}\n")));
    *response.status_mut() = refusal.http();
    response
}

fn accepted(taken: &Taken) -> Response<Answer> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    let message = framed(&partial::protobuf(taken));
    let body = Answer::new(message).with_trailers(trailers);
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// With the prefix of a message: not compressed, and its length.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

fn refused(refusal: &Refusal) -> Response<Answer> {
    let status = refusal.status();
    let details = if status.details.is_empty() {
        Bytes::new()
    } else {
        status.encode_to_vec().into()
    };
    let status = Status::with_details(refusal.grpc(), status.message, details);
    let mut response: Response<Answer> = status.into_http();
    debug_assert_eq!(response.status(), StatusCode::OK);
    if matches!(refusal, Refusal::Compression { .. }) {
        let known = HeaderValue::from_static("identity,gzip,deflate,zstd");
        response.headers_mut().insert(ACCEPT_ENCODING, known);
    }
    response
}
