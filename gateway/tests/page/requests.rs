//! Times of requests that agents have seen, as Prometheus has them.

use futures_util::{StreamExt as _, stream};
use weir_gateway::RunningGateway;
use weir_proto::flow::v1::{
    AgentMessage, Direction, FlowBatch, FlowEvent, Hello, Httpflow, Latency, Transport,
    agent_message::Message, flow_event::Data, flow_intake_client::FlowIntakeClient,
};

use opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint;

use crate::support::{
    CUMULATIVE, Prometheus, explicit, exponential, gateway, metrics, now, open_page, send, texts,
};

const NAME: &str = "http_server_request_duration_seconds";

/// Requests to a server on this host, answered after these many nanoseconds.
fn served(route: &str, times: &[u64]) -> FlowEvent {
    let mut latency = Latency::default();
    times.iter().for_each(|time| latency.add(*time));
    FlowEvent {
        time_unix_nano: now(),
        period_nano: 10_000_000_000,
        src_ip: vec![10, 0, 0, 1],
        dst_ip: vec![10, 0, 0, 2],
        src_port: Some(80),
        transport: Transport::Tcp.into(),
        direction: Direction::Incoming.into(),
        data: Some(Data::Httpflow(Httpflow {
            method: "GET".to_owned(),
            path: route.to_owned(),
            route: route.to_owned(),
            status_code: 200,
            count: times.len() as u64,
            latency: Some(latency),
            ..Httpflow::default()
        })),
        ..FlowEvent::default()
    }
}

/// Send rows as an agent does, until they are acknowledged.
async fn deliver(gateway: &RunningGateway, events: Vec<FlowEvent>) {
    let hello = Hello {
        agent_id: "a".to_owned(),
        epoch: now(),
        host: "node-1".to_owned(),
        ..Hello::default()
    };
    let batch = FlowBatch {
        sequence: 1,
        events,
    };
    let messages = [Message::Hello(hello), Message::Batch(batch)].map(|message| AgentMessage {
        message: Some(message),
    });
    let agent = FlowIntakeClient::connect(format!("http://{}", gateway.flow)).await;
    let messages = stream::iter(messages).chain(stream::pending());
    let answers = agent.expect("a gateway").stream(messages).await;
    let mut answers = answers.expect("a stream").into_inner();
    for answer in ["a welcome", "an ack"] {
        answers.message().await.expect(answer).expect(answer);
    }
}

#[tokio::test]
async fn prometheus_finds_the_quantiles_of_requests_in_every_format() {
    let gateway = gateway("").await;
    // A hundred requests of 1 ms to 100 ms.
    let times: Vec<u64> = (1..=100).map(|time| time * 1_000_000).collect();
    deliver(&gateway, vec![served("/user/*", &times)]).await;
    for features in ["", "native-histograms"] {
        let prometheus = Prometheus::scraping(&gateway, features);
        let count = prometheus.one(&format!("{NAME}_count")).await;
        assert_eq!(count, 100.0, "{features}");
        let sum = prometheus.one(&format!("{NAME}_sum")).await;
        assert!((sum - 5.05).abs() < 1e-9, "{features}: {sum}");
        for (quantile, wanted) in [
            (0.05, 0.005),
            (0.1, 0.01),
            (0.25, 0.025),
            (0.5, 0.05),
            (1.0, 0.1),
        ] {
            // At a bound of the buckets it is exact.
            let query = format!("histogram_quantile({quantile}, {NAME}_bucket)");
            let found = prometheus.one(&query).await;
            assert!(
                (found - wanted).abs() < 1e-9,
                "{features}: {quantile} is {found}"
            );
        }
    }
}

#[tokio::test]
async fn what_a_service_says_and_what_the_network_shows_is_one_metric_to_every_reader() {
    let gateway = gateway("").await;
    let own = HistogramDataPoint {
        attributes: texts(&[("http.route", "/own")]),
        start_time_unix_nano: now(),
        time_unix_nano: now(),
        count: 7,
        sum: Some(0.7),
        bucket_counts: vec![7, 0],
        explicit_bounds: vec![0.25],
        ..HistogramDataPoint::default()
    };
    let metric = explicit("http.server.request.duration", "s", vec![own]);
    send(&gateway, "metrics", &metrics(vec![metric])).await;
    deliver(&gateway, vec![served("/seen", &[1_000_000])]).await;

    let families = open_page(&gateway).await;
    let found: Vec<_> = families.iter().filter(|own| own.name == NAME).collect();
    let [family] = found[..] else {
        panic!("{} families", found.len());
    };
    assert_eq!(
        (family.kind.as_str(), family.unit.as_str()),
        ("histogram", "seconds")
    );
    for (route, count) in [("/own", 7.0), ("/seen", 1.0)] {
        let mut samples = family.samples.iter();
        let sample =
            samples.find(|own| own.name.ends_with("_count") && own.has(&[("http_route", route)]));
        assert_eq!(sample.expect("a count").value, count, "{route}");
    }
    for features in ["", "native-histograms"] {
        let prometheus = Prometheus::scraping(&gateway, features);
        let total = prometheus.one(&format!("sum({NAME}_count) == 8")).await;
        assert_eq!(total, 8.0, "{features}");
    }
}

#[tokio::test]
async fn an_exponential_histogram_of_a_service_has_buckets_beside_those_of_the_network() {
    use opentelemetry_proto::tonic::metrics::v1::{
        ExponentialHistogramDataPoint, exponential_histogram_data_point::Buckets,
    };
    let gateway = gateway("").await;
    deliver(&gateway, vec![served("/seen", &[1_000_000])]).await;
    let own = ExponentialHistogramDataPoint {
        attributes: texts(&[("http.route", "/own")]),
        start_time_unix_nano: now(),
        time_unix_nano: now(),
        count: 3,
        sum: Some(4.5),
        positive: Some(Buckets {
            offset: 0,
            bucket_counts: vec![3],
        }),
        ..ExponentialHistogramDataPoint::default()
    };
    let metric = exponential("http.server.request.duration", "s", CUMULATIVE, vec![own]);
    send(&gateway, "metrics", &metrics(vec![metric])).await;
    // Prometheus takes all series of a metric in the form of the first.
    let prometheus = Prometheus::scraping(&gateway, "native-histograms");
    for (route, part, values) in [
        ("/own", "count", 3.0),
        ("/own", "bucket", 3.0),
        ("/seen", "count", 1.0),
        ("/seen", "bucket", 1.0),
    ] {
        let query = format!("max({NAME}_{part}{{http_route=\"{route}\"}})");
        assert_eq!(prometheus.one(&query).await, values, "{query}");
    }
}
