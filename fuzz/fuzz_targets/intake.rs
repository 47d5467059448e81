//! What agents send: events become Points and series, a status becomes metrics, and the page stays readable.

#![no_main]

use std::{cell::LazyCell, sync::Arc, time::Duration};

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use weir_fuzz::page;
use weir_gateway::{
    agents::Agents,
    fanout::Output as _,
    intake::event,
    page::{Format, Page},
    profile::SEMCONV,
    prometheus::FlowSeries,
    self_metrics::SelfMetrics,
};
use weir_point::{Point, Text};
use weir_proto::flow::v1::{AgentMessage, AgentStatus, FlowEvent, agent_message};

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
        agent_message::Message::Hello(_) => {}
        agent_message::Message::Batch(batch) => take_events(batch.events),
        agent_message::Message::Status(status) => take_status(status),
    }
});

fn take_events(events: Vec<FlowEvent>) {
    let host = Text::new_static("node \"1\"\\\n");
    let points = events
        .into_iter()
        .filter_map(|own| event::point(own, &host).ok());
    let points: Vec<Point> = points.collect();
    if points.is_empty() {
        return;
    }
    let series =
        METRICS.with(|metrics| FlowSeries::new(&SEMCONV, 4, Duration::from_secs(300), metrics));
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
