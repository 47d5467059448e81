//! What is forwarded arrives as it was.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message;

use crate::support::{
    Front, SIGNALS, Signal, Sink, batch, batch_of_size, batch_with_id, eventually, nobody, start,
};

const FRONTS: [(Front, &str); 2] = [
    (Front::Grpc, "protocol: grpc"),
    (Front::Http, "protocol: http"),
];

fn assert_same<T: Message + Default + PartialEq + std::fmt::Debug>(sent: &[u8], arrived: &[u8]) {
    let decode = |bytes: &[u8]| T::decode(bytes).expect("a request");
    assert_eq!(decode(sent), decode(arrived));
}

#[tokio::test]
async fn merged_requests_are_the_request_with_the_resources_of_all() {
    for (front, protocol) in FRONTS {
        let sink = Sink::start(front);
        let running = start(
            sink.address,
            &format!("{protocol}, batch: {{delay: 300ms}}"),
        );
        for signal in SIGNALS {
            let batches: Vec<_> = (0..20)
                .map(|id| batch_with_id(signal, &format!("s{id}"), id % 3 + 1, id * 3000))
                .collect();
            for batch in &batches {
                running.exporter.offer(batch).expect("room");
            }
            let sent: Vec<u8> = batches.iter().flat_map(|b| b.bytes().to_vec()).collect();
            eventually!(
                sink.arrivals()
                    .iter()
                    .any(|arrival| arrival.signal == signal)
            );
            let mut arrivals = sink.arrivals();
            arrivals.retain(|arrival| arrival.signal == signal);
            assert_eq!(arrivals.len(), 1, "20 requests are sent as one");
            let arrived = &arrivals[0].bytes;
            match signal {
                Signal::Traces => assert_same::<ExportTraceServiceRequest>(&sent, arrived),
                Signal::Metrics => assert_same::<ExportMetricsServiceRequest>(&sent, arrived),
                Signal::Logs => assert_same::<ExportLogsServiceRequest>(&sent, arrived),
            }
            if front == Front::Http {
                assert_eq!(&sent, arrived, "byte by byte");
            }
        }
        eventually!(running.ledger()[3] == 0);
        running.assert_balanced().await;
    }
}

#[tokio::test]
async fn a_request_of_the_size_limit_goes_without_delay_and_a_larger_one_alone() {
    let sink = Sink::start(Front::Grpc);
    let running = start(sink.address, "batch: {size: 100KiB, delay: 1h}");
    let started = Instant::now();
    for (id, size) in [
        (0, 60_000),
        (1, 30_000),
        (2, 300_000),
        (3, 30_000),
        (4, 90_000),
    ] {
        let batch = batch_of_size(Signal::Logs, id, size);
        running.exporter.offer(&batch).expect("room");
    }
    eventually!(sink.count() == 4);
    assert!(started.elapsed() < Duration::from_secs(60));
    assert!(running.stop_within(Duration::from_secs(10)).await);
    let mut sizes: Vec<usize> = sink
        .arrivals()
        .iter()
        .map(|a| a.bytes.len() / 10_000)
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [3, 9, 9, 30]);
}

#[tokio::test]
async fn nothing_is_lost_while_the_endpoint_is_away() {
    for (front, protocol) in FRONTS {
        let address = nobody();
        let running = start(address, protocol);
        for id in 0..10 {
            for signal in SIGNALS {
                running.exporter.offer(&batch(signal, id, 2)).expect("room");
            }
        }
        eventually!(running.metric("requests_total", &["result=\"unavailable\""]) > 0);
        assert_eq!(running.ledger(), [60, 0, 0, 60]);
        let sink = Sink::start_at(front, address, None);
        eventually!(running.ledger() == [60, 60, 0, 0]);
        assert_eq!(sink.count(), 60, "and nothing came twice");

        drop(sink);
        running
            .exporter
            .offer(&batch(Signal::Logs, 10, 1))
            .expect("room");
        eventually!(running.metric("retries_total", &["signal=\"logs\""]) > 1);
        let sink = Sink::start_at(front, address, None);
        eventually!(sink.count() == 1);
        eventually!(running.ledger() == [61, 61, 0, 0]);
        assert!(running.metric("retries_total", &[]) > 0);
        running.assert_balanced().await;
    }
}

#[tokio::test]
async fn headers_and_compression_arrive() {
    for (front, protocol) in FRONTS {
        for compression in ["none", "gzip", "zstd"] {
            let sink = Sink::start(front);
            let keys = format!(
                "{protocol}, compression: {compression}, headers: {{x-token: secret, x-tenant: a b}}"
            );
            let running = start(sink.address, &keys);
            let batch = batch_with_id(Signal::Metrics, "m", 5, 50_000);
            running.exporter.offer(&batch).expect("room");
            eventually!(sink.count() == 5);
            let arrival = sink.arrivals().remove(0);
            assert_eq!(arrival.bytes, batch.bytes()[..]);
            assert_eq!(arrival.headers["x-token"], "secret");
            assert_eq!(arrival.headers["x-tenant"], "a b");
            let agent = arrival.headers["user-agent"].to_str().expect("text");
            assert!(agent.starts_with("weir-gateway/"), "{agent}");
            if front == Front::Http {
                let encoding = arrival.headers.get("content-encoding");
                let encoding = encoding.map_or("none", |value| value.to_str().expect("text"));
                assert_eq!(encoding, compression);
                let length = arrival.headers["content-length"].to_str().expect("text");
                let length: usize = length.parse().expect("a number");
                assert_eq!(length < 10_000, compression != "none", "{length} bytes");
            }
        }
    }
}

#[tokio::test]
async fn an_http_endpoint_may_have_a_path() {
    let sink = Sink::start(Front::Http);
    let keys = format!(
        "endpoint: 'http://{}/otlp/', protocol: http, batch: {{delay: 0s}}",
        sink.address
    );
    let running = crate::support::Running::try_start(crate::support::config(&keys));
    let running = running.expect("an exporter");
    running
        .exporter
        .offer(&batch(Signal::Traces, 0, 1))
        .expect("room");
    eventually!(sink.count() == 1);
    assert_eq!(sink.arrivals()[0].path, "/otlp/v1/traces");
}

#[tokio::test]
async fn a_slow_answer_to_one_request_does_not_hold_up_the_next() {
    let sink = Sink::start(Front::Grpc);
    sink.answer([crate::support::Answer::Hang]);
    let running = start(sink.address, "timeout: 1m, in_flight: 2");
    running
        .exporter
        .offer(&batch(Signal::Logs, 0, 1))
        .expect("room");
    eventually!(sink.arrivals().len() == 1);
    for id in 1..20 {
        running
            .exporter
            .offer(&batch(Signal::Logs, id, 1))
            .expect("room");
    }
    eventually!(sink.count() == 19);
    eventually!(running.metric("items_queued", &[]) == 1);
}

#[tokio::test]
async fn a_signal_that_the_endpoint_does_not_take_holds_up_no_other() {
    let sink = Sink::start(Front::Grpc);
    sink.answer([crate::support::Answer::Hang]);
    let running = start(sink.address, "timeout: 1m, in_flight: 1");
    running
        .exporter
        .offer(&batch(Signal::Metrics, 0, 1))
        .expect("room");
    eventually!(sink.arrivals().len() == 1);
    for id in 0..5 {
        running
            .exporter
            .offer(&batch(Signal::Traces, id, 1))
            .expect("room");
    }
    eventually!(sink.names(Signal::Traces).len() == 5);
}
