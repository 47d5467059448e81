use std::{net::SocketAddr, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use weir_gateway::RunningGateway;

use crate::support::{
    Agent, Answer, PERIOD_END, Sink, eventually, flow, gateway, netflow, scrape, with,
};

const IO: &str = "weir.network.flow.io";
const RECEIVE: (&str, &str) = ("network.io.direction", "receive");

async fn gateway_to(sink: SocketAddr, more: &str) -> RunningGateway {
    gateway(&format!(
        "otlp: {{endpoint: 'http://{sink}', gather: 10ms{more}}}"
    ))
    .await
}

#[tokio::test]
async fn a_flow_arrives_as_deltas_and_gauges_with_the_same_numbers() {
    let sink = Sink::start().await;
    let gateway = gateway_to(sink.address, "").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let event = netflow(flow(443), |netflow| {
        netflow.rtt_us = Some(1500.0);
        netflow.tcp_failed = 7;
        netflow.reason = "refused".to_owned();
    });
    agent.deliver(1, vec![event]).await;
    eventually!(sink.sum(IO, &[]) == 110.0);

    let points = sink.data_points();
    let of = |metric: &str| {
        let mut found = points.iter().filter(|point| point.metric == metric);
        let point = found.next().unwrap_or_else(|| panic!("no {metric}"));
        assert!(found.next().is_none(), "{metric} twice");
        point
    };
    let read = points
        .iter()
        .find(|point| point.metric == IO && point.attributes["network.io.direction"] == "receive")
        .expect("a data point");
    assert_eq!(
        (read.value, read.delta, read.unit.as_str()),
        (100.0, true, "By")
    );
    assert_eq!(
        (read.start, read.time),
        (PERIOD_END - 10_000_000_000, PERIOD_END)
    );
    assert_eq!(read.resource["host.name"], "node-1");
    assert_eq!(read.resource["service.name"], "weir");
    assert_eq!(read.attributes["destination.port"], "int 443");
    assert_eq!(read.attributes["source.address"], "10.0.0.1");
    assert_eq!(read.attributes["network.type"], "ipv4");
    for absent in ["host.name", "source.port", "process.pid"] {
        assert!(!read.attributes.contains_key(absent), "{absent}");
    }
    let rtt = of("weir.network.tcp.rtt");
    assert_eq!(
        (rtt.value, rtt.delta, rtt.unit.as_str()),
        (0.0015, false, "s")
    );
    let failed = of("weir.network.tcp.failed");
    assert_eq!(
        (failed.value, failed.attributes["error.type"].as_str()),
        (7.0, "refused")
    );
    assert_eq!(of("weir.network.tcp.connections").value, 1.0);
    assert_eq!(
        points
            .iter()
            .filter(|point| point.metric.ends_with("resets"))
            .count(),
        0
    );

    eventually!(scrape(gateway.prometheus).await.ledger("otlp") == (1.0, 1.0, 0.0));
    let metrics = scrape(gateway.prometheus).await;
    let sent = metrics.one("weir_gateway_otlp_data_points_total", &[]);
    assert_eq!(sent, points.len() as f64);
}

#[tokio::test]
async fn two_processes_of_one_period_are_one_data_point() {
    let sink = Sink::start().await;
    let gateway = gateway(&format!(
        "otlp: {{endpoint: 'http://{}', gather: 300ms}}",
        sink.address
    ))
    .await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let process = |pid, time| {
        with(flow(443), |event| {
            event.pid = pid;
            event.time_unix_nano = time;
        })
    };
    let next = PERIOD_END + 10_000_000_000;
    agent
        .deliver(1, vec![process(1, PERIOD_END), process(2, PERIOD_END)])
        .await;
    agent
        .deliver(2, vec![process(3, PERIOD_END), process(1, next)])
        .await;
    eventually!(sink.sum(IO, &[RECEIVE]) == 400.0);
    let mut live: Vec<(u64, f64)> = sink
        .data_points()
        .iter()
        .filter(|point| point.metric == "weir.network.tcp.connections")
        .map(|point| (point.time, point.value))
        .collect();
    live.sort_by_key(|(time, _)| *time);
    assert_eq!(live, [(PERIOD_END, 3.0), (next, 1.0)]);
}

#[tokio::test]
async fn nothing_is_lost_while_the_endpoint_is_away_and_the_queue_has_room() {
    let sink = Sink::start().await;
    let address = sink.address;
    let gateway = gateway_to(address, "").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443)]).await;
    eventually!(sink.sum(IO, &[RECEIVE]) == 100.0);

    drop(sink);
    for sequence in 2..=50 {
        agent.deliver(sequence, vec![flow(443), flow(80)]).await;
    }
    let retried = |result: &'static str| async move {
        let metrics = scrape(gateway.prometheus).await;
        metrics.one("weir_gateway_otlp_requests_total", &[("result", result)])
    };
    eventually!(retried("retried").await >= 1.0);

    let sink = Sink::start_at(address).await;
    eventually!(
        sink.sum(IO, &[RECEIVE]) == 49.0 * 200.0,
        "{}",
        sink.sum(IO, &[RECEIVE])
    );
    eventually!(scrape(gateway.prometheus).await.ledger("otlp") == (99.0, 99.0, 0.0));
}

#[tokio::test]
async fn past_the_queue_points_are_dropped_counted_and_nobody_else_waits() {
    // Nobody listens there.
    let sink = Sink::start().await;
    let address = sink.address;
    drop(sink);
    let gateway = gateway(&format!(
        "otlp: {{endpoint: 'http://{address}', gather: 0s, queue: 10}}"
    ))
    .await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    for sequence in 1..=100 {
        agent.deliver(sequence, vec![flow(443)]).await;
    }
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(metrics.ledger("prometheus"), (100.0, 100.0, 0.0));
    let (offered, _, dropped) = metrics.ledger("otlp");
    let queued = metrics.one("weir_gateway_output_points_queued", &[("output", "otlp")]);
    assert_eq!(offered, 100.0);
    assert!(dropped >= 50.0, "{dropped}");
    assert!(queued <= 10.0, "{queued}");

    let sink = Sink::start_at(address).await;
    eventually!({
        let (offered, delivered, dropped) = scrape(gateway.prometheus).await.ledger("otlp");
        offered == delivered + dropped
    });
    let (_, delivered, _) = scrape(gateway.prometheus).await.ledger("otlp");
    assert_eq!(sink.sum(IO, &[RECEIVE]), delivered * 100.0);
}

#[tokio::test]
async fn what_may_pass_later_is_sent_again_and_what_may_not_is_dropped() {
    let sink = Sink::start().await;
    let mut details = ErrorDetails::new();
    details.set_retry_info(Some(Duration::from_millis(10)));
    for status in [
        Status::unavailable("busy"),
        Status::with_error_details(Code::ResourceExhausted, "full", details),
    ] {
        sink.then(Answer::Fail(status));
    }
    let gateway = gateway_to(sink.address, "").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443)]).await;
    eventually!(sink.sum(IO, &[RECEIVE]) == 100.0);

    sink.then(Answer::Fail(Status::invalid_argument("never")));
    agent.deliver(2, vec![flow(443)]).await;
    eventually!(scrape(gateway.prometheus).await.ledger("otlp") == (2.0, 1.0, 1.0));
    agent.deliver(3, vec![flow(443)]).await;
    eventually!(sink.sum(IO, &[RECEIVE]) == 200.0);

    let metrics = scrape(gateway.prometheus).await;
    let dropped = [("output", "otlp"), ("cause", "refused")];
    assert_eq!(
        metrics.one("weir_gateway_output_points_dropped_total", &dropped),
        1.0
    );
    let requests = |result| metrics.one("weir_gateway_otlp_requests_total", &[("result", result)]);
    assert_eq!(
        (
            requests("accepted"),
            requests("retried"),
            requests("refused")
        ),
        (2.0, 2.0, 1.0)
    );
}

#[tokio::test]
async fn a_hanging_endpoint_is_given_up_on_and_asked_again() {
    let sink = Sink::start().await;
    sink.then(Answer::Hang);
    let gateway = gateway_to(sink.address, ", timeout: 100ms").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443)]).await;
    eventually!(sink.sum(IO, &[RECEIVE]) == 100.0);
}

#[tokio::test]
async fn data_points_that_the_endpoint_rejects_are_counted() {
    let sink = Sink::start().await;
    sink.then(Answer::Reject(3));
    let gateway = gateway_to(sink.address, "").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443)]).await;
    let rejected = "weir_gateway_otlp_data_points_rejected_total";
    eventually!(scrape(gateway.prometheus).await.one(rejected, &[]) == 3.0);
}

#[tokio::test]
async fn a_large_period_comes_in_several_requests_and_whole() {
    let sink = Sink::start().await;
    let gateway = gateway_to(sink.address, "").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, (1..=3000).map(flow).collect()).await;
    eventually!(sink.sum(IO, &[RECEIVE]) == 300_000.0);
    let metrics = scrape(gateway.prometheus).await;
    let accepted = metrics.one(
        "weir_gateway_otlp_requests_total",
        &[("result", "accepted")],
    );
    assert!(accepted >= 10.0, "{accepted}");
}
