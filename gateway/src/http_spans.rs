//! HTTP requests that agents have seen, as spans of traces: OTLP like that of any SDK, and by the same door.

use std::{borrow::Cow, sync::Arc};

use metrics::Counter;
use tracing::error;
use weir_otel_receiver::{Consumer, Refused};
use weir_point::{
    Text, ToText as _,
    otlp::{OtlpBatch, Signal},
};
use weir_proto::flow::v1::{Direction, FlowEvent, HttpSpan, Httpflow, flow_event::Data};

use crate::{
    flow_export::{
        envelope::{self, ITEMS},
        wire::{self, Value},
    },
    intake::{
        address,
        event::{self, LONGEST_DOMAIN, LONGEST_TEXT, Malformed},
        httpflow,
    },
    profile::SEMCONV,
    self_metrics::{INTAKE_SPANS, SelfMetrics},
};

/// Of `Span`.
mod field {
    pub(super) const TRACE: u32 = 1;
    pub(super) const ID: u32 = 2;
    pub(super) const STATE: u32 = 3;
    pub(super) const PARENT: u32 = 4;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const START: u32 = 7;
    pub(super) const END: u32 = 8;
    pub(super) const ATTRIBUTES: u32 = 9;
    pub(super) const STATUS: u32 = 15;
    /// Of `Status`.
    pub(super) const CODE: u32 = 3;
}
/// `SPAN_KIND_SERVER` and `SPAN_KIND_CLIENT`.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
/// `STATUS_CODE_ERROR`.
const ERROR: u64 = 2;

/// Spans in one request: at about 1 KiB each, well below the 4 MiB that receivers take by default.
const SPANS_PER_REQUEST: usize = 1000;

/// Hands spans to whoever takes OTLP.
pub struct HttpSpans {
    door: Arc<dyn Consumer>,
    taken: Counter,
    full: Counter,
    stopped: Counter,
    encoding: Counter,
}

impl HttpSpans {
    /// Hand them to `door`.
    pub fn new(door: Arc<dyn Consumer>, metrics: &SelfMetrics) -> Self {
        let counter = |result| metrics.counter(&INTAKE_SPANS, &[result]);
        Self {
            door,
            taken: counter("taken"),
            full: counter("full"),
            stopped: counter("stopped"),
            encoding: counter("encoding"),
        }
    }

    /// Hand on those of `events`, which the agent on `host` sent and all of which have a span; what is wrong with
    /// one that is not right goes to `refuse`.
    pub fn take(&self, events: Vec<FlowEvent>, host: &Text, refuse: impl FnMut(Malformed)) {
        let mut spans = read(events, refuse);
        if spans.is_empty() {
            return;
        }
        spans.sort_by(|a, b| a.owner().cmp(&b.owner()));
        for spans in spans.chunks(SPANS_PER_REQUEST) {
            self.hand_on(request(spans, host), spans.len() as u64);
        }
    }

    fn hand_on(&self, request: Vec<u8>, spans: u64) {
        let batch = match OtlpBatch::check(Signal::Traces, request.into()) {
            Ok(batch) => batch,
            Err(wrong) => {
                let error = &wrong as &dyn std::error::Error;
                error!(error, "spans were not written as they must be");
                return self.encoding.increment(spans);
            }
        };
        // An agent is not told to wait: its rows are worth more than its spans.
        match self.door.consume(batch) {
            Ok(_all) => self.taken.increment(spans),
            Err(Refused::Full { .. }) => self.full.increment(spans),
            Err(Refused::Stopping) => self.stopped.increment(spans),
        }
    }
}

/// One that is right.
struct Span {
    ids: HttpSpan,
    request: Httpflow,
    event: FlowEvent,
    src: Text,
    dst: Text,
    start: u64,
}

fn read(events: Vec<FlowEvent>, mut refuse: impl FnMut(Malformed)) -> Vec<Span> {
    let mut spans = Vec::with_capacity(events.len());
    for event in events {
        match Span::read(event) {
            Ok(span) => spans.push(span),
            Err(malformed) => refuse(malformed),
        }
    }
    spans
}

fn request(spans: &[Span], host: &Text) -> Vec<u8> {
    let mut out = Vec::new();
    for spans in spans.chunk_by(|a, b| a.owner() == b.owner()) {
        let attributes = spans[0].resource(host);
        envelope::group(&mut out, SEMCONV.schema_url, attributes, |out| {
            for span in spans {
                wire::message(out, ITEMS, |out| span.write(out));
            }
        });
    }
    out
}

impl Span {
    fn read(mut event: FlowEvent) -> Result<Self, Malformed> {
        let Some(Data::HttpSpan(mut ids)) = event.data.take() else {
            return Err(Malformed::Data);
        };
        let (_, start) = event::times(&event)?;
        let request = ids.request.take().ok_or(Malformed::Span)?;
        check(&ids, &request)?;
        let texts = [
            &request.method,
            &request.path,
            &request.route,
            &request.http_version,
            &request.reason,
            &event.process_name,
            &event.container_id,
        ];
        let is_too_long = event.dst_domain.len() > LONGEST_DOMAIN;
        if is_too_long || texts.iter().any(|text| text.len() > LONGEST_TEXT) {
            return Err(Malformed::Text);
        }
        let ports = [event.src_port, event.dst_port];
        if ports.iter().flatten().any(|port| *port > u16::MAX.into()) {
            return Err(Malformed::Port);
        }
        let address = |bytes: &[u8]| address::parse(bytes).ok_or(Malformed::Address);
        Ok(Self {
            src: address(&event.src_ip)?.to_smolstr(),
            dst: address(&event.dst_ip)?.to_smolstr(),
            ids,
            request,
            event,
            start,
        })
    }

    /// Equal for spans of one resource.
    fn owner(&self) -> (&str, u32, &str) {
        let FlowEvent {
            process_name,
            pid,
            container_id,
            ..
        } = &self.event;
        (process_name, *pid, container_id)
    }

    fn is_server(&self) -> bool {
        self.event.direction() == Direction::Incoming
    }

    fn resource<'a>(&'a self, host: &'a Text) -> impl Iterator<Item = (&'static str, Value<'a>)> {
        let (process, pid, container) = self.owner();
        // What SDKs say of a service that nobody has named.
        let service = if process.is_empty() {
            "unknown_service"
        } else {
            process
        };
        [
            ("host.name", text(host)),
            ("service.name", text(service)),
            ("process.executable.name", text(process)),
            ("process.pid", (pid != 0).then(|| Value::Int(pid.into()))),
            ("container.id", text(container)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Self { ids, event, .. } = self;
        wire::bytes(out, field::TRACE, &ids.trace_id);
        wire::bytes(out, field::ID, &ids.span_id);
        if let Some(threshold) = threshold(ids) {
            wire::text(out, field::STATE, &format!("ot=th:{threshold}"));
        }
        wire::bytes(out, field::PARENT, &ids.parent_span_id);
        wire::text(out, field::NAME, &self.name());
        wire::number(
            out,
            field::KIND,
            if self.is_server() { SERVER } else { CLIENT },
        );
        wire::fixed(out, field::START, self.start);
        wire::fixed(out, field::END, event.time_unix_nano);
        for (name, value) in self.attributes() {
            wire::attribute(out, field::ATTRIBUTES, name, value);
        }
        if self.has_failed() {
            wire::message(out, field::STATUS, |out| {
                wire::number(out, field::CODE, ERROR);
            });
        }
    }

    /// By the conventions: what the client did wrong is no error of the server.
    fn has_failed(&self) -> bool {
        let first_error = if self.is_server() { 500 } else { 400 };
        self.request.status_code == 0 || self.request.status_code >= first_error
    }

    /// The method, and at a server the route: few enough to group by.
    fn name(&self) -> String {
        let Httpflow { method, route, .. } = &self.request;
        let method = if method.is_empty() { "HTTP" } else { method };
        if self.is_server() && !route.is_empty() {
            format!("{method} {route}")
        } else {
            method.to_owned()
        }
    }

    fn attributes(&self) -> impl Iterator<Item = (&'static str, Value<'_>)> {
        let Self {
            request,
            event,
            ids,
            src,
            dst,
            ..
        } = self;
        let status = match request.status_code {
            0 => None,
            code => Some(Value::Int(code.into())),
        };
        let error = match (request.status_code, &*request.reason) {
            (0, "") => text("other"),
            (0, reason) => text(reason),
            (code, _) if self.has_failed() => Some(Value::Text(code.to_string().into())),
            _ => None,
        };
        let (server, server_port) = match (self.is_server(), &*event.dst_domain) {
            (true, _) => (src.as_str(), event.src_port),
            (false, "") => (dst.as_str(), event.dst_port),
            (false, domain) => (domain, event.dst_port),
        };
        let (asked, answered) = match self.is_server() {
            true => (request.bytes_read, request.bytes_written),
            false => (request.bytes_written, request.bytes_read),
        };
        let int = |number: u64| Some(Value::Int(i64::try_from(number).unwrap_or(i64::MAX)));
        let port = |port: Option<u32>| port.map(|port| Value::Int(port.into()));
        [
            ("http.request.method", text(&request.method)),
            ("http.response.status_code", status),
            ("http.route", text(&request.route)),
            ("error.type", error),
            (
                "rpc.grpc.status_code",
                request.grpc_status.map(|code| Value::Int(code.into())),
            ),
            (
                "url.scheme",
                text(if request.tls { "https" } else { "http" }),
            ),
            ("url.path", text(&request.path)),
            (
                "weir.url.path.truncated",
                request.truncated.then_some(Value::Bool(true)),
            ),
            ("network.protocol.version", text(&request.http_version)),
            ("network.peer.address", text(dst)),
            ("network.peer.port", port(event.dst_port)),
            ("server.address", text(server)),
            ("server.port", port(server_port)),
            ("http.request.size", int(asked)),
            ("http.response.size", int(answered)),
            (
                "weir.sampling.factor",
                Some(Value::Double(ids.sampling_factor)),
            ),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// Nothing for no text.
fn text(text: &str) -> Option<Value<'_>> {
    (!text.is_empty()).then_some(Value::Text(Cow::Borrowed(text)))
}

fn check(ids: &HttpSpan, request: &Httpflow) -> Result<(), Malformed> {
    // Consumers take an id of zeros for none.
    let is_id = |bytes: &[u8], length| bytes.len() == length && bytes.iter().any(|byte| *byte != 0);
    let parent = &ids.parent_span_id;
    if !is_id(&ids.trace_id, 16)
        || !is_id(&ids.span_id, 8)
        || !(parent.is_empty() || is_id(parent, 8))
    {
        return Err(Malformed::Span);
    }
    if !ids.sampling_factor.is_finite() || ids.sampling_factor < 1.0 {
        return Err(Malformed::Number);
    }
    httpflow::check(request)?;
    match &request.latency {
        Some(latency) => event::check(latency, 1),
        None => Ok(()),
    }
}

/// The rejection threshold of the sampling, as `tracestate` has it: a span is kept where the last 56 bits of its
/// trace id are not below it. `None` where nothing was sampled, and where the trace id says that the span was
/// kept for another reason.
/// <https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/>
fn threshold(ids: &HttpSpan) -> Option<String> {
    const DIGITS: usize = 14;
    const ALL: f64 = (1_u64 << (4 * DIGITS)) as f64;
    if ids.sampling_factor <= 1.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 2^56"
    )]
    let threshold = (ALL * (1.0 - 1.0 / ids.sampling_factor)) as u64;
    let last: [u8; 8] = ids.trace_id.last_chunk().copied()?;
    let randomness = u64::from_be_bytes(last) & ((1 << (4 * DIGITS)) - 1);
    (randomness >= threshold).then(|| {
        let digits = format!("{threshold:014x}");
        match digits.trim_end_matches('0') {
            "" => "0".to_owned(),
            digits => digits.to_owned(),
        }
    })
}

#[cfg(test)]
mod tests;
