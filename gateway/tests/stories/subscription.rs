use std::collections::BTreeMap;

use tonic::Code;
use weir_proto::observe::v1::{Category, field::Value, subscribe_response::Message};

use crate::support::{Agent, PERIOD_END, Subscriber, eventually, flow, gateway, scrape, with};

#[tokio::test]
async fn a_subscriber_gets_every_point_as_the_contract_says() {
    let gateway = gateway("").await;
    let mut subscriber = Subscriber::connect(gateway.flow, &[]).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443)]).await;
    let point = subscriber.points(1).await.remove(0);
    assert_eq!(
        (point.name.as_str(), point.time_unix_nano),
        ("netflow", PERIOD_END)
    );
    assert_eq!(point.category(), Category::Network);
    let tags: BTreeMap<_, _> = point
        .tags
        .iter()
        .map(|t| (t.key.as_str(), t.value.as_str()))
        .collect();
    assert_eq!(tags["src_port"], "*");
    assert_eq!(tags["pid"], "100");
    assert_eq!(tags["direction_source"], "connect");
    let read = point
        .fields
        .iter()
        .find(|field| field.key == "bytes_read")
        .expect("a field");
    assert_eq!(read.value, Some(Value::Int(100)));
}

#[tokio::test]
async fn filters_must_all_match() {
    let gateway = gateway("").await;
    let mut all = Subscriber::connect(gateway.flow, &[("name", "netflow")]).await;
    let mut two = Subscriber::connect(
        gateway.flow,
        &[("dst_port", "443"), ("process_name", "curl")],
    )
    .await;
    let mut none = Subscriber::connect(gateway.flow, &[("no_such_tag", "")]).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let other = with(flow(443), |event| event.process_name = "wget".to_owned());
    agent.deliver(1, vec![flow(80), other, flow(443)]).await;
    all.points(3).await;
    let port = |point: &weir_proto::observe::v1::Point| {
        let tag = point.tags.iter().find(|tag| tag.key == "dst_port");
        tag.expect("a tag").value.clone()
    };
    let points = two.points(1).await;
    assert_eq!(port(&points[0]), "443");
    let (offered, _, _) = scrape(gateway.prometheus).await.ledger("subscription");
    assert_eq!(offered, 4.0, "what does not match is not offered");
    gateway.stop().await;
    assert_eq!(two.message().await, None);
    assert_eq!(none.message().await, None);
}

#[tokio::test]
async fn a_filter_that_means_nothing_and_a_subscriber_too_many_are_refused() {
    let gateway = gateway("subscription: {limit: 1}").await;
    let refused = Subscriber::try_connect(gateway.flow, &[("", "x")]).await;
    assert_eq!(
        refused.err().expect("refused").code(),
        Code::InvalidArgument
    );
    let many = vec![("a", "b"); 65];
    let refused = Subscriber::try_connect(gateway.flow, &many).await;
    assert_eq!(
        refused.err().expect("refused").code(),
        Code::InvalidArgument
    );

    let first = Subscriber::connect(gateway.flow, &[]).await;
    let refused = Subscriber::try_connect(gateway.flow, &[]).await;
    assert_eq!(
        refused.err().expect("refused").code(),
        Code::ResourceExhausted
    );
    drop(first);
    eventually!(
        scrape(gateway.prometheus)
            .await
            .one("weir_gateway_subscribers", &[])
            == 0.0
    );
    Subscriber::connect(gateway.flow, &[]).await;
    let metrics = scrape(gateway.prometheus).await;
    let refused = |cause| {
        metrics.one(
            "weir_gateway_subscriptions_refused_total",
            &[("cause", cause)],
        )
    };
    assert_eq!((refused("filter"), refused("limit")), (2.0, 1.0));
}

/// Everything a subscriber gets from here on until `total` Points are got or lost.
async fn got_and_lost(subscriber: &mut Subscriber, total: u64) -> (u64, u64) {
    let (mut got, mut lost) = (0, 0);
    while got + lost < total {
        match subscriber.message().await.expect("an open stream") {
            Message::Batch(batch) => got += batch.points.len() as u64,
            Message::Lost(message) => {
                assert!(message.points > 0);
                lost += message.points;
            }
        }
    }
    (got, lost)
}

#[tokio::test]
async fn a_slow_subscriber_is_told_how_many_points_it_missed_and_slows_nobody() {
    let gateway = gateway("subscription: {queue: 500}").await;
    let mut slow = Subscriber::connect(gateway.flow, &[("dst_port", "443")]).await;
    let mut quick = Subscriber::connect(gateway.flow, &[("dst_port", "80")]).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let mut events = vec![flow(443); 100];
    events.push(flow(80));
    let rounds = 100;
    for sequence in 1..=rounds {
        agent.deliver(sequence, events.clone()).await;
        quick.points(1).await;
    }
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(
        metrics.one("weir_gateway_prometheus_label_sets", &[("group", "flow")]),
        2.0
    );
    let full = [("output", "subscription"), ("cause", "queue_full")];
    let dropped = metrics.one("weir_gateway_output_points_dropped_total", &full);
    assert!(dropped > 0.0);

    let (got, lost) = got_and_lost(&mut slow, rounds * 100).await;
    assert_eq!(
        got + lost,
        rounds * 100,
        "every matching Point is accounted for"
    );
    assert_eq!(lost as f64, dropped, "after the filter, exactly");

    // Having caught up, it misses nothing more.
    agent.deliver(rounds + 1, events.clone()).await;
    assert_eq!(got_and_lost(&mut slow, 100).await, (100, 0));
}

#[tokio::test]
async fn what_a_leaving_subscriber_did_not_get_is_accounted_for() {
    let gateway = gateway("subscription: {queue: 100000}").await;
    let subscriber = Subscriber::connect(gateway.flow, &[]).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    for sequence in 1..=20 {
        agent.deliver(sequence, vec![flow(443); 500]).await;
    }
    drop(subscriber);
    eventually!(
        scrape(gateway.prometheus)
            .await
            .one("weir_gateway_subscribers", &[])
            == 0.0
    );
    let metrics = scrape(gateway.prometheus).await;
    let (offered, delivered, dropped) = metrics.ledger("subscription");
    assert_eq!(offered, 10_000.0);
    assert_eq!(delivered + dropped, offered);
    let gone = [("output", "subscription"), ("cause", "subscriber_gone")];
    assert_eq!(
        metrics.one("weir_gateway_output_points_dropped_total", &gone),
        dropped
    );
    assert_eq!(
        metrics.one(
            "weir_gateway_output_points_queued",
            &[("output", "subscription")]
        ),
        0.0
    );
}
