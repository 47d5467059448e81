use std::net::IpAddr;

use weir_ebpf_common::netflow::udp::UdpOwner;
use weir_route::Routes;

use super::*;
use crate::httpflow::{Budget, Ends, Outcome, Request, TraceParent, Version};

fn spans(sample: f64, max_per_second: u32) -> Spans {
    Spans::new(config::Spans {
        enabled: true,
        sample,
        max_per_second,
    })
}

/// The spans of so many requests, one a millisecond.
fn taken(spans: &mut Spans, count: u64, traceparent: Option<&str>) -> Vec<HttpSpan> {
    let budget = Budget {
        paths: 1,
        routes: 1,
    };
    let mut rows = Rows::new(budget, Routes::default());
    let mut request = Request::new(b"GET", "/users/1234?x", Version::Http11, &[]);
    request.trace = traceparent.and_then(|value| TraceParent::parse(value.as_bytes()));
    let ends = Ends {
        local: IpAddr::from([10, 0, 0, 1]),
        remote: IpAddr::from([10, 0, 0, 2]),
        local_port: 80,
        remote_port: 40_000,
        netns: 7,
    };
    let events = (0..count).filter_map(|number| {
        let began_ns = SECOND_NS + number * 1_000_000;
        let exchange = Exchange {
            ends,
            owner: &UdpOwner::default(),
            is_server: true,
            tls: false,
            request: &request,
            outcome: Outcome {
                status: 200,
                ..Outcome::default()
            },
            counts: true,
            is_last: true,
            latency_ns: Some(300),
            bytes_read: 0,
            bytes_written: 0,
            all_read: 100,
            all_written: 200,
            began_ns,
            ended_ns: began_ns + 500,
        };
        spans.take(&exchange, &mut rows, 1_000)
    });
    let spans = events.map(|event| {
        assert_eq!(event.period_nano, 500);
        assert_eq!((event.src_port, event.dst_port), (Some(80), Some(40_000)));
        let Some(Data::HttpSpan(span)) = event.data else {
            panic!("no span");
        };
        span
    });
    spans.collect()
}

#[test]
fn a_span_joins_the_trace_of_its_request() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let [span] = &taken(&mut spans(0.0, 10), 1, Some(parent))[..] else {
        panic!("not one span");
    };
    assert_eq!(span.trace_id[..2], [0x0a, 0xf7]);
    assert_eq!(span.parent_span_id[..2], [0xb7, 0xad]);
    assert_eq!(span.span_id.len(), 8);
    let request = span.request.as_ref().unwrap();
    assert_eq!(
        (&request.path[..], &request.route[..]),
        ("/users/1234", "/users/*")
    );
    assert_eq!((request.bytes_read, request.bytes_written), (100, 200));
}

#[test]
fn what_its_caller_does_not_sample_has_no_span() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    assert!(taken(&mut spans(1.0, 10), 5, Some(parent)).is_empty());
}

#[test]
fn spans_stand_for_about_as_many_requests_as_there_were() {
    let spans = taken(&mut spans(0.1, 100_000), 20_000, None);
    assert!((1500..2500).contains(&spans.len()), "{}", spans.len());
    let sum: f64 = spans.iter().map(|span| span.sampling_factor).sum();
    assert!((15_000.0..25_000.0).contains(&sum), "{sum}");
    assert!(
        spans
            .iter()
            .all(|span| span.trace_id.len() == 16 && span.parent_span_id.is_empty())
    );
}

#[test]
fn what_the_limit_leaves_out_the_next_span_stands_for() {
    let mut spans = spans(1.0, 10);
    let made = taken(&mut spans, 3001, None);
    assert_eq!(made.len(), 31);
    let sum: f64 = made.iter().map(|span| span.sampling_factor).sum();
    assert_eq!(sum, 3001.0);
    assert_eq!(spans.over_limit, 2970);
}
