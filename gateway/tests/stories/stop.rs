use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use weir_gateway::{Config, Gateway, config::ENV_PREFIX};
use weir_runtime::config::Document;

use crate::support::{Agent, Sink, Subscriber, flow, gateway};

#[tokio::test]
async fn a_stop_ends_every_stream_in_order_and_delivers_what_was_taken_in() {
    let sink = Sink::start().await;
    let configuration = format!(
        "otlp_exporters: {{main: {{endpoint: 'http://{}', flows: {{gather: 60s}}}}}}",
        sink.address
    );
    let gateway = gateway(&configuration).await;
    let (flow_address, metrics_address) = (gateway.flow, gateway.prometheus);
    let mut subscriber = Subscriber::connect(gateway.flow, &[]).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443); 1000]).await;

    let reader = tokio::spawn(async move {
        let points = subscriber.points(1000).await;
        assert_eq!(subscriber.message().await, None, "the stream ends in order");
        points.len()
    });
    assert!(gateway.stop().await, "nothing was cut off");

    assert_eq!(
        agent.answer().await.expect("no error"),
        None,
        "the agent is told"
    );
    assert_eq!(reader.await.expect("a reader"), 1000);
    assert_eq!(
        sink.sum(
            "weir.network.flow.io",
            &[("network.io.direction", "receive")]
        ),
        100_000.0
    );
    for address in [flow_address, metrics_address] {
        assert!(
            TcpStream::connect(address).await.is_err(),
            "{address} is closed"
        );
    }
}

#[tokio::test]
async fn a_stop_takes_no_longer_than_its_deadline_whoever_hangs() {
    // An endpoint that is away, and a subscriber that does not read.
    let sink = Sink::start().await;
    let address = sink.address;
    drop(sink);
    let gateway = gateway(&format!(
        "{{otlp_exporters: {{main: {{endpoint: 'http://{address}', flows: {{gather: 0s}}}}}}, stop: {{deadline: 300ms}}}}"
    ))
    .await;
    let stuck = Subscriber::connect(gateway.flow, &[]).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    for sequence in 1..=10 {
        agent.deliver(sequence, vec![flow(443); 1000]).await;
    }
    let started = Instant::now();
    assert!(
        !gateway.stop().await,
        "something was cut off, and it says so"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(stuck);
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_key_before_anything_starts() {
    let running = gateway("").await;
    let text = format!("prometheus: {{listen: '{}'}}", running.prometheus);
    let free = [(
        "WEIR_GATEWAY_FLOW_LISTEN".to_owned(),
        "127.0.0.1:0".to_owned(),
    )];
    let config = Document::parse("test.yaml", &text, ENV_PREFIX, free)
        .and_then(|document| document.read(Config::read))
        .expect("a configuration");
    let error = Gateway::start(config)
        .await
        .err()
        .expect("a taken port")
        .to_string();
    assert!(error.contains("prometheus.listen"), "{error}");
    assert!(error.contains(&running.prometheus.to_string()), "{error}");
}
