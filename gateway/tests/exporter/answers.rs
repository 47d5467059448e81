//! What an endpoint answers decides what is sent again, when, and what is given up.

use std::time::Duration;

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::support::{Answer, Front, Running, Signal, Sink, batch, eventually, nobody, start};

const RETRIED: [Code; 6] = [
    Code::Cancelled,
    Code::DeadlineExceeded,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unavailable,
    Code::DataLoss,
];

fn offer(running: &Running, id: u32, items: usize) {
    running
        .exporter
        .offer(&batch(Signal::Traces, id, items))
        .expect("room");
}

/// Between the first two requests.
fn pause(sink: &Sink) -> Duration {
    let arrivals = sink.arrivals();
    arrivals[1].at - arrivals[0].at
}

#[tokio::test]
async fn each_grpc_code_is_tried_again_or_given_up_as_the_specification_says() {
    for code in (1..=16).map(Code::from_i32) {
        let sink = Sink::start(Front::Grpc);
        sink.answer([Answer::Grpc(Status::new(code, "not now"))]);
        let running = start(sink.address, "protocol: grpc");
        offer(&running, 0, 3);
        eventually!(running.metric("items_queued", &[]) == 0);
        let is_retried = RETRIED.contains(&code);
        let wanted = if is_retried {
            [3, 3, 0, 0]
        } else {
            [3, 0, 3, 0]
        };
        assert_eq!(running.ledger(), wanted, "{code:?}");
        let refused = running.metric("items_dropped_total", &["cause=\"refused\""]);
        assert_eq!(refused, wanted[2], "{code:?}");
        assert_eq!(running.metric("retries_total", &[]), u64::from(is_retried));
        assert_eq!(
            sink.arrivals().len(),
            1 + usize::from(is_retried),
            "{code:?}"
        );
        running.assert_balanced().await;
    }
}

#[tokio::test]
async fn each_http_status_is_tried_again_or_given_up_as_the_specification_says() {
    for status in [
        400, 401, 403, 404, 408, 413, 429, 500, 501, 502, 503, 504, 301,
    ] {
        let sink = Sink::start(Front::Http);
        sink.answer([Answer::Http(status, Vec::new(), b"not now".to_vec())]);
        let running = start(sink.address, "protocol: http");
        offer(&running, 0, 3);
        eventually!(running.metric("items_queued", &[]) == 0);
        let is_retried = [429, 502, 503, 504].contains(&status);
        let wanted = if is_retried {
            [3, 3, 0, 0]
        } else {
            [3, 0, 3, 0]
        };
        assert_eq!(running.ledger(), wanted, "{status}");
        assert_eq!(
            sink.arrivals().len(),
            1 + usize::from(is_retried),
            "{status}"
        );
        running.assert_balanced().await;
    }
}

#[tokio::test]
async fn a_full_grpc_endpoint_is_left_alone_for_as_long_as_it_asked() {
    let wait = Duration::from_millis(1500);
    for code in [Code::ResourceExhausted, Code::Unavailable] {
        let sink = Sink::start(Front::Grpc);
        let mut details = ErrorDetails::new();
        details.set_retry_info(Some(wait));
        let status = Status::with_error_details(code, "full", details);
        sink.answer([Answer::Grpc(status)]);
        let running = start(sink.address, "protocol: grpc");
        offer(&running, 0, 1);
        eventually!(running.ledger() == [1, 1, 0, 0]);
        assert!(pause(&sink) >= wait, "{code:?}: {:?}", pause(&sink));
    }
}

#[tokio::test]
async fn a_full_http_endpoint_is_left_alone_for_as_long_as_it_asked() {
    for status in [429, 503] {
        let sink = Sink::start(Front::Http);
        let after = vec![("retry-after", "2".to_owned())];
        sink.answer([Answer::Http(status, after, Vec::new())]);
        let running = start(sink.address, "protocol: http");
        offer(&running, 0, 1);
        eventually!(running.ledger() == [1, 1, 0, 0]);
        assert!(pause(&sink) >= Duration::from_secs(2), "{:?}", pause(&sink));
    }
}

#[tokio::test]
async fn items_that_the_endpoint_left_out_are_counted_apart() {
    for (front, protocol) in [(Front::Grpc, "grpc"), (Front::Http, "http")] {
        let sink = Sink::start(front);
        sink.answer([
            Answer::Partial(2, "too old"),
            Answer::Partial(0, "take care"),
        ]);
        let running = start(sink.address, &format!("protocol: {protocol}"));
        offer(&running, 0, 5);
        eventually!(running.ledger() == [5, 3, 2, 0]);
        assert_eq!(
            running.metric("items_dropped_total", &["cause=\"rejected\""]),
            2
        );
        assert_eq!(running.metric("requests_total", &["result=\"partial\""]), 1);
        offer(&running, 1, 1);
        eventually!(running.ledger() == [6, 4, 2, 0]);
        assert_eq!(
            running.metric("requests_total", &["result=\"accepted\""]),
            1
        );
        assert_eq!(
            sink.arrivals().len(),
            2,
            "a request taken in part is not sent again"
        );
        running.assert_balanced().await;
    }
}

#[tokio::test]
async fn an_error_message_in_protobuf_or_garbage_does_no_harm() {
    let sink = Sink::start(Front::Http);
    let status = tonic_types::Status {
        code: 3,
        message: "no such tenant".to_owned(),
        details: Vec::new(),
    };
    sink.answer([
        Answer::Http(400, Vec::new(), status.encode_to_vec()),
        Answer::Http(400, Vec::new(), vec![0xff; 2000]),
        Answer::Http(500, Vec::new(), vec![b'x'; 3 << 20]),
        Answer::Http(200, Vec::new(), vec![0xff; 2000]),
    ]);
    let running = start(sink.address, "protocol: http");
    for id in 0..4 {
        offer(&running, id, 1);
        eventually!(running.metric("items_queued", &[]) == 0);
    }
    assert_eq!(running.ledger(), [4, 1, 3, 0]);
    assert_eq!(sink.arrivals().len(), 4);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_asked_again() {
    let sink = Sink::start(Front::Grpc);
    sink.answer([Answer::Hang]);
    let running = start(sink.address, "timeout: 100ms");
    offer(&running, 0, 1);
    eventually!(running.ledger() == [1, 1, 0, 0]);
    assert_eq!(
        running.metric("requests_total", &["result=\"unavailable\""]),
        1
    );
    let deadline = &sink.arrivals()[0].headers["grpc-timeout"];
    assert_eq!(deadline, "100m");
}

#[tokio::test]
async fn what_the_endpoint_does_not_take_for_too_long_is_given_up_and_counted() {
    let running = start(nobody(), "retry: {most: 300ms}");
    offer(&running, 0, 4);
    eventually!(running.ledger() == [4, 0, 4, 0]);
    assert_eq!(
        running.metric("items_dropped_total", &["cause=\"expired\""]),
        4
    );
    running.assert_balanced().await;
}
