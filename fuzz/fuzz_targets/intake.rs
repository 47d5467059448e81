//! What agents send: events become Points and series, a status becomes metrics, and the page stays readable.

#![no_main]

use std::{
    cell::LazyCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use weir_fuzz::page;
use weir_gateway::{
    agents::Agents,
    budget::{Budget, Limits},
    fanout::Output as _,
    http_spans::HttpSpans,
    intake::event,
    page::{Format, Page},
    profile::SEMCONV,
    prometheus::FlowSeries,
    self_metrics::SelfMetrics,
};
use weir_otel_receiver::{Consumer, Refused, Taken};
use weir_point::{Point, Text, otlp::OtlpBatch};
use weir_proto::flow::v1::{AgentMessage, AgentStatus, FlowEvent, agent_message, flow_event::Data};

thread_local! {
    /// Made once: that takes longer than all else.
    static METRICS: LazyCell<SelfMetrics> = LazyCell::new(SelfMetrics::new);
}

fuzz_target!(|data: &[u8]| {
    let Ok(AgentMessage {
        message: Some(message),
    }) = AgentMessage::decode(data)
    else {
        return;
    };
    match message {
        agent_message::Message::Hello(_) | agent_message::Message::SettingsAnswer(_) => {}
        agent_message::Message::Batch(batch) => take_events(batch.events),
        agent_message::Message::Status(status) => take_status(status),
    }
});

/// Counts the spans that it gets.
#[derive(Default)]
struct Door(AtomicUsize);

impl Consumer for Door {
    fn consume(&self, batch: OtlpBatch) -> Result<Taken, Refused> {
        self.0.fetch_add(batch.items(), Ordering::Relaxed);
        Ok(Taken::ALL)
    }
}

/// Every span is handed on as OTLP that can be read, or refused.
fn take_spans(events: Vec<FlowEvent>, host: &Text) {
    let (given, mut refused) = (events.len(), 0);
    let door = Arc::<Door>::default();
    let spans = METRICS.with(|metrics| HttpSpans::new(Arc::<Door>::clone(&door), metrics));
    spans.take(events, host, |_cause| refused += 1);
    assert_eq!(door.0.load(Ordering::Relaxed) + refused, given);
}

fn take_events(events: Vec<FlowEvent>) {
    let host = Text::new_static("node \"1\"\\\n");
    let is_span = |event: &FlowEvent| matches!(event.data, Some(Data::HttpSpan(_)));
    let (spans, events): (Vec<_>, Vec<_>) = events.into_iter().partition(is_span);
    take_spans(spans, &host);
    let points = events
        .into_iter()
        .filter_map(|own| event::point(own, &host).ok());
    let points: Vec<Point> = points.collect();
    if points.is_empty() {
        return;
    }
    let budget = Budget {
        series: 4,
        values: Limits::default(),
    };
    let idle_expiry = Duration::from_secs(300);
    let series = METRICS.with(|metrics| FlowSeries::new(&SEMCONV, &budget, idle_expiry, metrics));
    series.offer(&Arc::new(points.into()));
    for format in Format::ALL {
        let whole: Vec<u8> = (0..)
            .map_while(|index| series.render(index, format))
            .flatten()
            .collect();
        assert_readable(format, &whole);
    }
}

fn take_status(status: AgentStatus) {
    let offered = status.counters.len() + status.hooks.len();
    let agents = Arc::new(Agents::new(1));
    let presence = agents
        .arrive(Text::new_static("node"))
        .expect("room for one");
    assert!(presence.report(status) <= offered);
    for format in Format::ALL {
        let mut page = Page::new(format);
        agents.render(&mut page);
        assert_readable(format, &page.finish());
    }
}

fn assert_readable(format: Format, whole: &[u8]) {
    match format {
        Format::Text | Format::OpenMetrics => page::assert_readable(whole),
        Format::Protobuf => page::assert_delimited(whole),
    }
}
