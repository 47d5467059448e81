use tokio::net::TcpStream;
use tonic::{Code, Status};
use weir_proto::flow::v1::{
    AgentMessage, AgentStatus, Counter, FlowBatch, Hello, Hook, agent_message::Message,
};

use crate::support::{
    Agent, Metrics, Subscriber, eventually, flow, gateway, hello, netflow, raw_stream, scrape, with,
};

const IO: &str = "weir_network_flow_io_bytes_total";

#[tokio::test]
async fn every_batch_is_acked_once_its_numbers_are_in() {
    let gateway = gateway("").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    assert_eq!(agent.welcomed, 0);
    for sequence in 1..=3 {
        agent.deliver(sequence, vec![flow(443)]).await;
        let metrics = scrape(gateway.prometheus).await;
        let read = metrics.one(IO, &[("network_io_direction", "receive")]);
        assert_eq!(read, 100.0 * sequence as f64);
    }
}

#[tokio::test]
async fn a_reconnecting_agent_learns_where_it_stands_and_nothing_counts_twice() {
    let gateway = gateway("").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443)]).await;
    agent.deliver(2, vec![flow(443)]).await;
    drop(agent);

    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    assert_eq!(agent.welcomed, 2);
    // The acks may have been lost on the way, so it sends everything again.
    for sequence in 1..=3 {
        agent.send(sequence, vec![flow(443)]).await;
    }
    assert_eq!(
        [agent.ack().await, agent.ack().await, agent.ack().await],
        [2, 2, 3]
    );

    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(
        metrics.one(IO, &[("network_io_direction", "receive")]),
        300.0
    );
    assert_eq!(metrics.one("weir_gateway_intake_batches_total", &[]), 3.0);
    assert_eq!(
        metrics.one("weir_gateway_intake_batches_duplicate_total", &[]),
        2.0
    );
    assert_eq!(
        metrics.one("weir_gateway_intake_batches_missing_total", &[]),
        0.0
    );
}

#[tokio::test]
async fn an_old_half_dead_stream_of_the_same_run_cannot_double_a_batch() {
    let gateway = gateway("").await;
    let mut old = Agent::connect(gateway.flow, "a", 1).await;
    old.deliver(1, vec![flow(443)]).await;
    let mut new = Agent::connect(gateway.flow, "a", 1).await;
    assert_eq!(new.welcomed, 1);
    for sequence in 2..=200 {
        old.send(sequence, vec![flow(443)]).await;
        new.send(sequence, vec![flow(443)]).await;
    }
    while old.ack().await < 200 {}
    while new.ack().await < 200 {}
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(
        metrics.one(IO, &[("network_io_direction", "receive")]),
        20_000.0
    );
    assert_eq!(metrics.one("weir_gateway_intake_batches_total", &[]), 200.0);
}

#[tokio::test]
async fn a_restarted_agent_starts_again_at_one_and_a_gap_is_counted() {
    let gateway = gateway("").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443)]).await;
    let mut agent = Agent::connect(gateway.flow, "a", 2).await;
    assert_eq!(agent.welcomed, 0);
    agent.deliver(1, vec![flow(443)]).await;
    agent.deliver(5, vec![flow(443)]).await;
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(
        metrics.one(IO, &[("network_io_direction", "receive")]),
        300.0
    );
    assert_eq!(
        metrics.one("weir_gateway_intake_batches_missing_total", &[]),
        3.0
    );
}

#[tokio::test]
async fn a_malformed_row_is_dropped_and_the_rest_of_its_batch_passes() {
    let gateway = gateway("").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let bad_address = with(flow(1), |event| event.src_ip = vec![1, 2, 3]);
    let bad_number = netflow(flow(2), |netflow| netflow.rtt_us = Some(f64::NAN));
    agent
        .deliver(1, vec![bad_address, flow(443), bad_number])
        .await;
    let metrics = scrape(gateway.prometheus).await;
    let malformed = |cause| {
        metrics.one(
            "weir_gateway_intake_rows_malformed_total",
            &[("cause", cause)],
        )
    };
    assert_eq!((malformed("address"), malformed("number")), (1.0, 1.0));
    assert_eq!(metrics.one("weir_gateway_intake_rows_total", &[]), 3.0);
    assert_eq!(metrics.ledger("prometheus"), (1.0, 1.0, 0.0));
}

/// The end of a stream on which `messages` were sent.
async fn refusal(gateway: std::net::SocketAddr, messages: Vec<Message>) -> Option<Status> {
    let (outbound, mut answers) = raw_stream(gateway).await;
    for message in messages {
        let message = Some(message);
        // The gateway may have ended the stream by now.
        drop(outbound.send(AgentMessage { message }).await);
    }
    loop {
        match answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(status) => return Some(status),
        }
    }
}

fn refused(metrics: &Metrics, cause: &str) -> f64 {
    metrics.one(
        "weir_gateway_intake_streams_refused_total",
        &[("cause", cause)],
    )
}

#[tokio::test]
async fn a_stream_that_breaks_the_protocol_is_ended_told_why_and_counted() {
    let gateway = gateway("").await;
    let hello = |id: &str, host: &str| Message::Hello(hello(id, 1, host));
    let batch = |sequence| {
        Message::Batch(FlowBatch {
            sequence,
            events: vec![flow(443)],
        })
    };
    let long = "x".repeat(257);
    for (messages, cause) in [
        (vec![batch(1)], "no_hello"),
        (vec![Message::Status(AgentStatus::default())], "no_hello"),
        (vec![hello("a", "h"), hello("a", "h")], "second_hello"),
        (vec![hello("", "h")], "agent_id"),
        (vec![hello(&long, "h")], "agent_id"),
        (vec![hello("a", "")], "host"),
        (vec![hello("a", &long)], "host"),
        (vec![hello("a", "h"), batch(0)], "sequence"),
    ] {
        let before = refused(&scrape(gateway.prometheus).await, cause);
        let status = refusal(gateway.flow, messages).await.expect("an error");
        assert_eq!(status.code(), Code::InvalidArgument, "{cause}: {status}");
        assert!(!status.message().is_empty());
        let metrics = scrape(gateway.prometheus).await;
        assert_eq!(refused(&metrics, cause), before + 1.0, "{cause}");
        assert_eq!(metrics.sum(IO, &[]), 0.0);
    }
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_stream_and_the_next_connection_works() {
    let gateway = gateway("flow: {max_message: 64KiB}").await;
    let huge = Message::Batch(FlowBatch {
        sequence: 1,
        events: vec![flow(443); 2000],
    });
    let greeting = Message::Hello(hello("a", 1, "h"));
    let status = refusal(gateway.flow, vec![greeting, huge])
        .await
        .expect("an error");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert_eq!(refused(&scrape(gateway.prometheus).await, "too_large"), 1.0);

    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443); 100]).await;
}

#[tokio::test]
async fn an_agent_that_is_killed_is_not_taken_for_a_protocol_error() {
    let gateway = gateway("").await;
    let agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.send(1, vec![flow(443)]).await;
    drop(agent);
    // And something that never spoke gRPC.
    drop(TcpStream::connect(gateway.flow).await.expect("a listener"));
    eventually!(
        scrape(gateway.prometheus)
            .await
            .one("weir_gateway_agents", &[])
            == 0.0
    );
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(
        metrics.sum("weir_gateway_intake_streams_refused_total", &[]),
        0.0
    );
}

#[tokio::test]
async fn only_so_many_agents_are_taken_and_one_that_left_makes_room() {
    let gateway = gateway("flow: {agents: 2}").await;
    let one = Agent::greet(gateway.flow, hello("one", 1, "host-1")).await;
    let two = Agent::greet(gateway.flow, hello("two", 1, "host-2")).await;
    let third = || Hello {
        ..hello("three", 1, "host-3")
    };
    let status = refusal(gateway.flow, vec![Message::Hello(third())])
        .await
        .expect("an error");
    assert_eq!(status.code(), Code::ResourceExhausted);
    drop(one);
    eventually!(
        scrape(gateway.prometheus)
            .await
            .one("weir_gateway_agents", &[])
            == 1.0
    );
    let three = Agent::greet(gateway.flow, third()).await;
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(
        metrics.one("weir_gateway_intake_runs_forgotten_total", &[]),
        1.0
    );
    assert_eq!(metrics.values("weir_agent_up", &[]).len(), 2);
    drop((two, three));
}

#[tokio::test]
async fn what_an_agent_says_of_itself_shows_until_it_leaves() {
    let gateway = gateway("").await;
    let agent = Agent::connect(gateway.flow, "a", 1).await;
    let counter = |name: &str, cause: &str, value| Counter {
        name: name.to_owned(),
        cause: cause.to_owned(),
        value,
    };
    let hook = |hook: &str, reason: &str| Hook {
        event: "tcp_state".to_owned(),
        hook: hook.to_owned(),
        reason: reason.to_owned(),
    };
    agent
        .status(AgentStatus {
            counters: vec![counter("rows", "", 1)],
            hooks: vec![],
        })
        .await;
    agent
        .status(AgentStatus {
            counters: vec![
                counter("rows", "", 7),
                counter("dropped", "ring full", 1),
                counter("dropped", "map \"full\"", 2),
                counter("dropped", "ring full", 3),
                counter("Bad-Name", "", 9),
                counter("", "", 9),
            ],
            hooks: vec![
                hook("raw_tracepoint", "no BTF"),
                hook("raw_tracepoint", "no BTF"),
            ],
        })
        .await;
    let dropped = "weir_agent_dropped_total";
    eventually!(
        !scrape(gateway.prometheus)
            .await
            .values(dropped, &[])
            .is_empty()
    );

    let metrics = scrape(gateway.prometheus).await;
    let host = ("host", "node-1");
    assert_eq!(metrics.one("weir_agent_up", &[host]), 1.0);
    assert_eq!(metrics.one("weir_agent_rows_total", &[host]), 7.0);
    assert_eq!(metrics.one(dropped, &[host, ("cause", "ring full")]), 3.0);
    assert_eq!(
        metrics.one(dropped, &[host, ("cause", "map \"full\"")]),
        2.0
    );
    let hook = [
        host,
        ("event", "tcp_state"),
        ("hook", "raw_tracepoint"),
        ("reason", "no BTF"),
    ];
    assert_eq!(metrics.one("weir_agent_hook_info", &hook), 1.0);
    assert_eq!(
        metrics.one("weir_gateway_intake_status_entries_refused_total", &[]),
        2.0
    );

    drop(agent);
    eventually!(
        scrape(gateway.prometheus)
            .await
            .one("weir_agent_up", &[host])
            == 0.0
    );
    let metrics = scrape(gateway.prometheus).await;
    assert!(
        metrics.values(dropped, &[]).is_empty(),
        "an old count is not a live one"
    );
}

#[tokio::test]
async fn every_output_accounts_for_every_point() {
    let gateway = gateway("").await;
    let mut subscriber = Subscriber::connect(gateway.flow, &[]).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    for sequence in 1..=10 {
        agent.deliver(sequence, vec![flow(443), flow(80)]).await;
    }
    subscriber.points(20).await;
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(metrics.ledger("prometheus"), (20.0, 20.0, 0.0));
    assert_eq!(metrics.ledger("subscription"), (20.0, 20.0, 0.0));
    assert_eq!(
        metrics.one(
            "weir_gateway_output_points_queued",
            &[("output", "subscription")]
        ),
        0.0
    );
}
