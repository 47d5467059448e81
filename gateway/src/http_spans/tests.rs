use std::sync::Mutex;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
    trace::v1::{Span as OtlpSpan, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use weir_otel_receiver::Taken;
use weir_proto::flow::v1::{Latency, Transport};

use super::*;

/// Remembers what it was given, and takes nothing if it is told so.
#[derive(Default)]
struct Door {
    taken: Mutex<Vec<OtlpBatch>>,
    refuses: Mutex<Option<Refused>>,
}

impl Consumer for Door {
    fn consume(&self, batch: OtlpBatch) -> Result<Taken, Refused> {
        if let Some(refused) = *self.refuses.lock().expect("a lock") {
            return Err(refused);
        }
        self.taken.lock().expect("a lock").push(batch);
        Ok(Taken::ALL)
    }
}

fn event() -> FlowEvent {
    let mut latency = Latency::default();
    latency.add(3_000_000);
    FlowEvent {
        time_unix_nano: 1_700_000_010_000_000_000,
        period_nano: 5_000_000,
        src_ip: vec![10, 0, 0, 1],
        dst_ip: vec![10, 0, 0, 2],
        src_port: Some(40_000),
        dst_port: Some(8443),
        transport: Transport::Tcp.into(),
        direction: Direction::Outgoing.into(),
        pid: 7,
        process_name: "curl".to_owned(),
        container_id: "c0ffee".to_owned(),
        dst_domain: "shop.example".to_owned(),
        data: Some(Data::HttpSpan(HttpSpan {
            trace_id: vec![0xff; 16],
            span_id: vec![2; 8],
            parent_span_id: vec![3; 8],
            request: Some(Httpflow {
                method: "GET".to_owned(),
                path: "/user/7".to_owned(),
                route: "/user/*".to_owned(),
                status_code: 404,
                http_version: "1.1".to_owned(),
                tls: true,
                count: 1,
                latency: Some(latency),
                bytes_read: 500,
                bytes_written: 70,
                ..Httpflow::default()
            }),
            sampling_factor: 10.0,
        })),
        ..FlowEvent::default()
    }
}

fn span(event: &mut FlowEvent) -> &mut HttpSpan {
    match &mut event.data {
        Some(Data::HttpSpan(span)) => span,
        _ => unreachable!("an event with a span"),
    }
}

fn request_of(event: &mut FlowEvent) -> &mut Httpflow {
    span(event).request.get_or_insert_default()
}

fn text_of(attributes: &[KeyValue]) -> Vec<String> {
    let text = |own: &KeyValue| {
        let value = own.value.as_ref().and_then(|value| value.value.as_ref());
        let value = match value.expect("a value") {
            any_value::Value::StringValue(text) => text.clone(),
            any_value::Value::IntValue(int) => format!("int {int}"),
            any_value::Value::DoubleValue(double) => format!("double {double}"),
            any_value::Value::BoolValue(answer) => format!("bool {answer}"),
            other => panic!("unexpected {other:?}"),
        };
        format!("{}={value}", own.key)
    };
    attributes.iter().map(text).collect()
}

/// The spans made of `events`, each with the attributes of its resource, and why others were refused.
fn made(events: Vec<FlowEvent>) -> (Vec<(Vec<String>, OtlpSpan)>, Vec<Malformed>) {
    let door = Arc::<Door>::default();
    let spans = HttpSpans::new(Arc::<Door>::clone(&door), &SelfMetrics::new());
    let mut refused = Vec::new();
    let host = Text::new_static("node-1");
    spans.take(events, &host, |cause| refused.push(cause));
    let mut all = Vec::new();
    for batch in door.taken.lock().expect("a lock").iter() {
        let bytes = batch.bytes().clone();
        let request = ExportTraceServiceRequest::decode(bytes).expect("a request");
        for group in request.resource_spans {
            assert_eq!(group.schema_url, SEMCONV.schema_url);
            let resource = text_of(&group.resource.expect("a resource").attributes);
            for scope in group.scope_spans {
                assert_eq!(scope.scope.expect("a scope").name, "weir");
                all.extend(scope.spans.into_iter().map(|own| (resource.clone(), own)));
            }
        }
    }
    (all, refused)
}

fn one(event: FlowEvent) -> OtlpSpan {
    let (mut spans, refused) = made(vec![event]);
    assert_eq!(refused, []);
    spans.pop().expect("a span").1
}

#[test]
fn a_request_of_a_client_is_a_span_of_its_process() {
    let (spans, _) = made(vec![event()]);
    let (resource, span) = &spans[0];
    assert_eq!(
        resource[..],
        [
            "host.name=node-1",
            "service.name=curl",
            "process.executable.name=curl",
            "process.pid=int 7",
            "container.id=c0ffee",
        ]
    );
    assert_eq!((span.name.as_str(), span.kind()), ("GET", SpanKind::Client));
    assert_eq!(span.trace_id, [0xff; 16]);
    assert_eq!(span.span_id, [2; 8]);
    assert_eq!(span.parent_span_id, [3; 8]);
    assert_eq!(span.end_time_unix_nano, 1_700_000_010_000_000_000);
    assert_eq!(span.start_time_unix_nano, 1_700_000_009_995_000_000);
    let status = span.status.as_ref().expect("a status");
    assert_eq!(
        status.code(),
        StatusCode::Error,
        "4xx is the client's error"
    );
    assert_eq!(
        text_of(&span.attributes),
        [
            "http.request.method=GET",
            "http.response.status_code=int 404",
            "http.route=/user/*",
            "error.type=404",
            "url.scheme=https",
            "url.path=/user/7",
            "network.protocol.version=1.1",
            "network.peer.address=10.0.0.2",
            "network.peer.port=int 8443",
            "server.address=shop.example",
            "server.port=int 8443",
            "http.request.size=int 70",
            "http.response.size=int 500",
            "weir.sampling.factor=double 10",
        ]
    );
}

#[test]
fn a_request_to_a_server_is_named_by_its_route_and_a_404_is_no_error() {
    let mut served = event();
    served.direction = Direction::Incoming.into();
    served.src_port = Some(80);
    let span = one(served.clone());
    assert_eq!(
        (span.name.as_str(), span.kind()),
        ("GET /user/*", SpanKind::Server)
    );
    assert_eq!(span.status, None);
    let attributes = text_of(&span.attributes);
    for wanted in [
        "server.address=10.0.0.1",
        "server.port=int 80",
        "network.peer.address=10.0.0.2",
        "http.request.size=int 500",
    ] {
        assert!(attributes.iter().any(|own| own == wanted), "{wanted}");
    }
    assert!(!attributes.iter().any(|own| own.starts_with("error.type")));

    *request_of(&mut served) = Httpflow {
        status_code: 0,
        latency: None,
        reason: "timeout".to_owned(),
        ..request_of(&mut served).clone()
    };
    let span = one(served);
    assert_eq!(span.status.expect("a status").code(), StatusCode::Error);
    let attributes = text_of(&span.attributes);
    assert!(attributes.iter().any(|own| own == "error.type=timeout"));
    let status = "http.response.status_code";
    assert!(!attributes.iter().any(|own| own.starts_with(status)));
}

/// By the examples of the specification: 0.25, 0.1 and 1/16 of all, and all.
#[test]
fn the_trace_state_says_how_much_was_sampled() {
    for (factor, wanted) in [(4.0, "ot=th:c"), (16.0, "ot=th:f"), (1.0, "")] {
        let mut sampled = event();
        span(&mut sampled).sampling_factor = factor;
        assert_eq!(one(sampled).trace_state, wanted, "{factor}");
    }
    let state = one(event()).trace_state;
    assert!(state.starts_with("ot=th:e6666666"), "{state}");
    // A trace id below the threshold would not have been kept because of it.
    let mut by_other_means = event();
    span(&mut by_other_means).trace_id = vec![1; 16];
    assert_eq!(one(by_other_means).trace_state, "");
}

#[test]
fn spans_of_one_process_stand_together() {
    let of = |pid| {
        let mut event = event();
        event.pid = pid;
        event
    };
    let (spans, _) = made((0..2500).map(|number| of(number % 3)).collect());
    assert_eq!(spans.len(), 2500);
    let changes = spans.windows(2).filter(|pair| pair[0].0 != pair[1].0);
    assert_eq!(changes.count(), 2);
}

#[test]
fn what_cannot_be_a_span_is_refused_by_its_cause() {
    let change = |change: fn(&mut FlowEvent)| {
        let mut event = event();
        change(&mut event);
        let (spans, mut refused) = made(vec![event]);
        assert_eq!(spans.len() + refused.len(), 1);
        refused.pop()
    };
    assert_eq!(change(|_| {}), None);
    assert_eq!(change(|e| span(e).parent_span_id.clear()), None);
    for (found, wanted) in [
        (change(|e| span(e).trace_id.fill(0)), Malformed::Span),
        (change(|e| span(e).trace_id.truncate(15)), Malformed::Span),
        (change(|e| span(e).span_id.clear()), Malformed::Span),
        (change(|e| span(e).parent_span_id.fill(0)), Malformed::Span),
        (change(|e| span(e).request = None), Malformed::Span),
        (change(|e| span(e).sampling_factor = 0.5), Malformed::Number),
        (
            change(|e| span(e).sampling_factor = f64::NAN),
            Malformed::Number,
        ),
        (
            change(|e| request_of(e).status_code = 1000),
            Malformed::Number,
        ),
        (
            change(|e| request_of(e).latency = Some(Latency::default())),
            Malformed::Latency,
        ),
        (
            change(|e| request_of(e).path = "x".repeat(257)),
            Malformed::Text,
        ),
        (change(|e| e.src_ip.clear()), Malformed::Address),
        (change(|e| e.dst_port = Some(70_000)), Malformed::Port),
        (change(|e| e.time_unix_nano = 0), Malformed::Time),
        (change(|e| e.data = None), Malformed::Data),
    ] {
        assert_eq!(found, Some(wanted));
    }
}

/// The decoder of others reads whatever was made of bytes at random.
#[test]
fn no_bytes_make_a_span_that_cannot_be_read() {
    let mut rng = fastrand::Rng::with_seed(26);
    let seed = event().encode_to_vec();
    let mut changed = || {
        let mut bytes = seed.clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..bytes.len());
            bytes[at] = rng.u8(..);
        }
        FlowEvent::decode(bytes.as_slice()).ok()
    };
    let events: Vec<FlowEvent> = (0..20_000).filter_map(|_| changed()).collect();
    let given = events.len();
    let (spans, refused) = made(events);
    assert_eq!(spans.len() + refused.len(), given);
    assert!(spans.len() > 1000 && refused.len() > 1000, "{given}");
}

#[test]
fn every_span_is_counted_by_what_became_of_it() {
    let door = Arc::<Door>::default();
    let metrics = SelfMetrics::new();
    let spans = HttpSpans::new(Arc::<Door>::clone(&door), &metrics);
    let refusals = [
        None,
        Some(Refused::Full {
            retry_after: std::time::Duration::from_secs(1),
        }),
        Some(Refused::Stopping),
    ];
    for refused in refusals {
        *door.refuses.lock().expect("a lock") = refused;
        let host = Text::new_static("node-1");
        spans.take(vec![event(); 2], &host, |cause| panic!("{cause:?}"));
    }
    let text = metrics.render();
    for (result, count) in [("taken", 2), ("full", 2), ("stopped", 2), ("encoding", 0)] {
        let line = format!("weir_gateway_intake_spans_total{{result=\"{result}\"}} {count}");
        assert!(text.lines().any(|own| own == line), "{line}");
    }
}
