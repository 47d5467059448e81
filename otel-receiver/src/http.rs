//! OTLP/HTTP: the three paths.

mod cors;

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
    },
    request::Parts,
};
use hyper::body::Incoming;
use prost::Message as _;
use weir_point::otlp::Signal;

pub(crate) use self::cors::Cors;
use crate::{
    answer::Answer,
    body::{Buffer, Coding, Reader},
    consumer::Taken,
    exchange::Watch,
    intake::Intake,
    json,
    meter::{Outcome, Transport},
    partial,
    refusal::Refusal,
};

/// What was done for a request that was not refused.
enum Done {
    Preflight,
    Taken(Signal, Taken),
}

/// What a request is written in, and so its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Protobuf,
    Json,
}

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Answers one request.
pub(crate) async fn serve(intake: Arc<Intake>, request: Request<Incoming>) -> Response<Answer> {
    let mut watch = intake.watch(Transport::Http);
    let (head, mut body) = request.into_parts();
    let language = Language::of(&head.headers);
    let taken = take(&intake, &head, &mut body, &mut watch).await;
    let mut response = match &taken {
        Ok(Done::Preflight) => preflight(),
        Ok(Done::Taken(signal, taken)) => accepted(language, *signal, taken),
        Err(refusal) => {
            let mut wire = 0;
            Reader::new(&mut body, intake.limits, &mut wire)
                .discard(refusal)
                .await;
            watch.exchange.wire_bytes += wire;
            refused(refusal, language)
        }
    };
    intake.cors.mark(&head, response.headers_mut());
    let outcome = match &taken {
        Ok(Done::Preflight) => Outcome::Preflight,
        Ok(Done::Taken(_, taken)) => Outcome::of(taken),
        Err(refusal) => Outcome::Refused(refusal.cause()),
    };
    watch.answered_http(outcome, response.status());
    response
}

async fn take(
    intake: &Intake,
    head: &Parts,
    body: &mut Incoming,
    watch: &mut Watch,
) -> Result<Done, Refusal> {
    let signal = signal(head.uri.path())?;
    watch.signal(signal);
    if intake.cors.is_preflight(head)? {
        return Ok(Done::Preflight);
    }
    if head.method != Method::POST {
        return Err(Refusal::Method);
    }
    intake.admit(&head.headers)?;
    let language = Language::of(&head.headers).ok_or(Refusal::ContentType {
        wanted: "the content type is neither application/x-protobuf nor application/json",
    })?;
    let coding = coding(&head.headers)?;
    let buffer = Buffer::new(intake.limits.message, intake.charge());
    let mut reader = Reader::new(body, intake.limits, &mut watch.exchange.wire_bytes);
    let body = reader.whole(coding, buffer).await?;
    let message = match language {
        Language::Protobuf => body,
        Language::Json => {
            let mut message = Buffer::new(intake.limits.message, intake.charge());
            json::to_protobuf(signal, body.bytes(), &mut message)?;
            drop(body);
            message
        }
    };
    // Charged for until the consumer has it.
    let (message, _charge) = message.into_parts();
    let taken = intake.take(signal, message, watch)?;
    Ok(Done::Taken(signal, taken))
}

fn signal(path: &str) -> Result<Signal, Refusal> {
    match path {
        "/v1/traces" => Ok(Signal::Traces),
        "/v1/metrics" => Ok(Signal::Metrics),
        "/v1/logs" => Ok(Signal::Logs),
        _ => Err(Refusal::UnknownPath {
            known: "/v1/traces, /v1/metrics and /v1/logs",
        }),
    }
}

fn coding(headers: &HeaderMap) -> Result<Coding, Refusal> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let coding = Coding::named(values.next().map(HeaderValue::as_bytes))?;
    match values.next() {
        None => Ok(coding),
        // Compressed twice.
        Some(_) => Err(Refusal::Compression {
            known: Coding::KNOWN,
        }),
    }
}

impl Language {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_TYPE)?.as_bytes();
        let name = value.split(|byte| *byte == b';').next()?.trim_ascii();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is(PROTOBUF) {
            Some(Self::Protobuf)
        } else {
            is(JSON).then_some(Self::Json)
        }
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn preflight() -> Response<Answer> {
    let mut response = Response::new(Answer::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// An Export…ServiceResponse with nothing in it, which says that all was accepted.
fn accepted(language: Option<Language>, signal: Signal, taken: &Taken) -> Response<Answer> {
    let (name, body) = match language {
        Some(Language::Json) => (JSON, Answer::new(partial::json(signal, taken))),
        _ => (PROTOBUF, Answer::new(partial::protobuf(taken))),
    };
    answer(StatusCode::OK, name, body)
}

fn refused(refusal: &Refusal, language: Option<Language>) -> Response<Answer> {
    let status = refusal.status();
    let mut response = match language {
        Some(Language::Protobuf) => answer(
            refusal.http(),
            PROTOBUF,
            Answer::new(status.encode_to_vec()),
        ),
        Some(Language::Json) => {
            let text = json::status(&status, refusal.retry_after());
            answer(refusal.http(), JSON, Answer::new(text))
        }
        None => answer(
            refusal.http(),
            "text/plain; charset=utf-8",
            Answer::new(status.message + "\n"),
        ),
    };
    let extra = match refusal {
        Refusal::Method => Some((ALLOW, "POST")),
        Refusal::Compression { known } => Some((ACCEPT_ENCODING, *known)),
        Refusal::Token => Some((WWW_AUTHENTICATE, "Bearer")),
        _ => None,
    };
    let headers = response.headers_mut();
    if let Some((name, value)) = extra {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(after) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
    }
    response
}

/// Rounded up: a client that comes too early is refused again.
fn whole_seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}
