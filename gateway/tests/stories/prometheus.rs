use std::collections::BTreeMap;

use fastrand::Rng;
use weir_proto::flow::v1::{FlowEvent, Transport};

use crate::support::{
    Agent, Metrics, PERIOD_END, eventually, flow, gateway, get, netflow, netflow_of, scrape, with,
};

const IO: &str = "weir_network_flow_io_bytes_total";
const RECEIVE: (&str, &str) = ("network_io_direction", "receive");
const TRANSMIT: (&str, &str) = ("network_io_direction", "transmit");
const FOLDED: (&str, &str) = ("destination_port", "~other");

#[tokio::test]
async fn a_flow_shows_under_its_opentelemetry_names_and_units() {
    let gateway = gateway("").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let full = netflow(flow(443), |netflow| {
        netflow.retransmits = 4;
        netflow.rtt_us = Some(1500.0);
        netflow.rtt_var_us = Some(250.0);
        netflow.connect_latency_us = Some(2000.0);
        netflow.connect_latency_max_us = Some(3000.0);
        netflow.tcp_closed = 5;
        netflow.tcp_reset = 6;
        netflow.tcp_failed = 7;
        netflow.reason = "refused".to_owned();
    });
    agent.deliver(1, vec![full]).await;

    let metrics = scrape(gateway.prometheus).await;
    let (labels, _) = metrics.series(IO, &[RECEIVE]).next().expect("a series");
    let wanted = [
        ("destination_address", "10.0.0.2"),
        ("destination_port", "443"),
        ("flow_direction", "outgoing"),
        ("host_name", "node-1"),
        ("network_io_direction", "receive"),
        ("network_transport", "tcp"),
        ("network_type", "ipv4"),
        ("process_executable_name", "curl"),
        ("source_address", "10.0.0.1"),
    ];
    assert!(
        labels
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .eq(wanted),
        "{labels:?}"
    );

    let packets = "weir_network_flow_packets_total";
    for (name, labels, value) in [
        (IO, &[RECEIVE][..], 100.0),
        (IO, &[TRANSMIT], 10.0),
        (packets, &[RECEIVE], 2.0),
        (packets, &[TRANSMIT], 1.0),
        ("weir_network_tcp_retransmits_total", &[], 4.0),
        ("weir_network_tcp_established_total", &[], 1.0),
        ("weir_network_tcp_closed_total", &[], 5.0),
        ("weir_network_tcp_resets_total", &[], 6.0),
        (
            "weir_network_tcp_failed_total",
            &[("error_type", "refused")],
            7.0,
        ),
        ("weir_network_tcp_rtt_seconds", &[], 0.0015),
        ("weir_network_tcp_rtt_var_seconds", &[], 0.000_25),
        ("weir_network_tcp_connect_latency_seconds", &[], 0.002),
        ("weir_network_tcp_connect_latency_max_seconds", &[], 0.003),
        ("weir_network_tcp_connections", &[], 1.0),
    ] {
        assert_eq!(metrics.one(name, labels), value, "{name}");
        let kind = if name.ends_with("_total") {
            "counter"
        } else {
            "gauge"
        };
        assert_eq!(metrics.types[name], kind, "{name}");
    }
}

#[tokio::test]
async fn two_processes_on_one_series_add_up_within_a_period() {
    let gateway = gateway("").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let process = |pid, connections, time| {
        let event = netflow(flow(443), |netflow| netflow.connections = connections);
        with(event, |event| {
            event.pid = pid;
            event.time_unix_nano = time;
        })
    };
    let next = PERIOD_END + 10_000_000_000;
    // One period in one batch, the next one in two.
    agent
        .deliver(
            1,
            vec![process(1, 3, PERIOD_END), process(2, 4, PERIOD_END)],
        )
        .await;
    let live = "weir_network_tcp_connections";
    assert_eq!(scrape(gateway.prometheus).await.one(live, &[]), 7.0);
    agent.deliver(2, vec![process(1, 2, next)]).await;
    agent.deliver(3, vec![process(2, 0, next)]).await;
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(metrics.one(live, &[]), 2.0);
    assert_eq!(metrics.one(IO, &[RECEIVE]), 400.0);
}

#[tokio::test]
async fn odd_characters_in_a_process_name_reach_prometheus_whole() {
    let gateway = gateway("").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let name = "a\"b\\c\nd,e=\"f\"} 1 é 名";
    let event = with(flow(443), |event| event.process_name = name.to_owned());
    agent.deliver(1, vec![event, flow(80)]).await;
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(
        metrics.one(IO, &[("process_executable_name", name), RECEIVE]),
        100.0
    );
}

#[tokio::test]
async fn past_the_budget_totals_stay_exact_in_one_other_series() {
    let gateway = gateway("prometheus: {series_budget: 2}").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let events = (1..=10).map(|port| {
        netflow(flow(port), |netflow| {
            netflow.rtt_us = Some(100.0);
            netflow.tcp_failed = 1;
            netflow.reason = format!("reason {port}");
        })
    });
    agent.deliver(1, events.collect()).await;

    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(metrics.values(IO, &[RECEIVE]).len(), 3);
    assert_eq!(metrics.one(IO, &[RECEIVE, FOLDED]), 800.0);
    assert_eq!(metrics.sum(IO, &[RECEIVE]), 1000.0);
    let failed = "weir_network_tcp_failed_total";
    assert_eq!(
        metrics.one(failed, &[("error_type", "~other"), FOLDED]),
        8.0
    );
    assert_eq!(metrics.sum(failed, &[]), 10.0);
    // A round-trip time of everything else means nothing; it is left out and counted.
    assert_eq!(
        metrics.values("weir_network_tcp_rtt_seconds", &[FOLDED]),
        [0.0_f64; 0]
    );
    let flow = ("group", "flow");
    assert_eq!(
        metrics.one("weir_gateway_prometheus_points_folded_total", &[flow]),
        8.0
    );
    assert_eq!(
        metrics.one("weir_gateway_prometheus_values_left_total", &[flow]),
        16.0
    );
    assert_eq!(
        metrics.one("weir_gateway_prometheus_label_sets", &[flow]),
        2.0
    );
}

#[tokio::test]
async fn an_idle_series_goes_and_makes_room() {
    let gateway = gateway("prometheus: {series_budget: 1, idle_expiry: 1s}").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(1), flow(2)]).await;
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(
        metrics.one(IO, &[RECEIVE, ("destination_port", "1")]),
        100.0
    );

    let expired = "weir_gateway_prometheus_label_sets_expired_total";
    eventually!(
        scrape(gateway.prometheus)
            .await
            .one(expired, &[("group", "flow")])
            == 1.0
    );
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(
        metrics.values(IO, &[RECEIVE, ("destination_port", "1")]),
        [0.0_f64; 0]
    );
    assert_eq!(
        metrics.one(IO, &[RECEIVE, FOLDED]),
        100.0,
        "the rest keeps its total"
    );

    agent.deliver(2, vec![flow(2)]).await;
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(
        metrics.one(IO, &[RECEIVE, ("destination_port", "2")]),
        100.0
    );
}

/// A flow from a small space, so that label sets repeat.
fn random_flow(rng: &mut Rng) -> FlowEvent {
    let mut event = netflow(flow(rng.u32(1..20)), |netflow| {
        netflow.bytes_read = rng.u64(..1_000_000);
        netflow.bytes_written = if rng.bool() { 0 } else { rng.u64(..1_000_000) };
        netflow.tcp_established = rng.u64(..5);
        netflow.retransmits = rng.u64(..3);
        netflow.rtt_us = rng.bool().then(|| rng.f64() * 1e5);
        if rng.u8(..4) == 0 {
            netflow.tcp_failed = rng.u64(1..4);
            netflow.reason = ["refused", "timeout", ""][rng.usize(..3)].to_owned();
        }
    });
    event.dst_ip = vec![10, 0, 0, rng.u8(..4)];
    event.pid = rng.u32(..4);
    event.process_name = ["", "curl", "a \"quoted\" one"][rng.usize(..3)].to_owned();
    event.time_unix_nano = PERIOD_END + rng.u64(..3) * 10_000_000_000;
    if rng.u8(..5) == 0 {
        event.transport = Transport::Udp.into();
    }
    event
}

fn tcp(event: &FlowEvent) -> bool {
    event.transport() == Transport::Tcp
}

#[tokio::test]
async fn whatever_is_sent_the_sums_on_metrics_are_the_sums_sent() {
    let mut rng = Rng::with_seed(4319);
    for budget in [1, 7, 100_000] {
        let gateway = gateway(&format!("prometheus: {{series_budget: {budget}}}")).await;
        let mut agent = Agent::connect(gateway.flow, "a", 1).await;
        let mut sent = Vec::new();
        for sequence in 1..=20 {
            let events: Vec<_> = (0..rng.usize(..60))
                .map(|_| random_flow(&mut rng))
                .collect();
            agent.deliver(sequence, events.clone()).await;
            sent.extend(events);
        }
        let metrics = scrape(gateway.prometheus).await;
        let total = |of: fn(&FlowEvent) -> u64| sent.iter().map(of).sum::<u64>() as f64;
        assert_eq!(
            metrics.sum(IO, &[RECEIVE]),
            total(|e| netflow_of(e).bytes_read)
        );
        assert_eq!(
            metrics.sum(IO, &[TRANSMIT]),
            total(|e| netflow_of(e).bytes_written)
        );
        let tcp_total = |of: fn(&FlowEvent) -> u64| {
            sent.iter().filter(|event| tcp(event)).map(of).sum::<u64>() as f64
        };
        for (name, wanted) in [
            ("retransmits", tcp_total(|e| netflow_of(e).retransmits)),
            ("established", tcp_total(|e| netflow_of(e).tcp_established)),
            ("failed", tcp_total(|e| netflow_of(e).tcp_failed)),
        ] {
            let name = format!("weir_network_tcp_{name}_total");
            assert_eq!(metrics.sum(&name, &[]), wanted, "{name}, budget {budget}");
        }
        assert!(metrics.values(IO, &[RECEIVE]).len() <= budget + 1);
        by_port_as_well(&metrics, &sent, budget);
    }
}

/// With room for everything, the sums are right for each label value too.
fn by_port_as_well(metrics: &Metrics, sent: &[FlowEvent], budget: usize) {
    if budget < sent.len() {
        return;
    }
    let mut by_port = BTreeMap::<String, u64>::new();
    for event in sent {
        let port = event.dst_port.expect("a port").to_string();
        *by_port.entry(port).or_default() += netflow_of(event).bytes_read;
    }
    for (port, bytes) in by_port {
        let labels = [RECEIVE, ("destination_port", port.as_str())];
        assert_eq!(metrics.sum(IO, &labels), bytes as f64, "port {port}");
    }
}

#[tokio::test]
async fn health_and_wrong_paths_are_answered() {
    let gateway = gateway("").await;
    assert_eq!(
        get(gateway.prometheus, "/healthz").await,
        (200, "ok\n".to_owned())
    );
    assert_eq!(get(gateway.prometheus, "/").await.0, 404);
    scrape(gateway.prometheus).await;
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(
        metrics.one(
            "weir_gateway_prometheus_scrapes_total",
            &[("format", "text")]
        ),
        1.0
    );
    assert!(metrics.one("weir_gateway_prometheus_scrape_size_bytes", &[]) > 1000.0);
}

#[tokio::test]
async fn a_scrape_that_is_cut_off_holds_nobody_up() {
    use tokio::{io::AsyncWriteExt as _, net::TcpStream};
    let gateway = gateway("").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, (1..5000).map(flow).collect()).await;
    let mut stuck = TcpStream::connect(gateway.prometheus)
        .await
        .expect("a listener");
    stuck
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n")
        .await
        .expect("a server");
    // It never reads, yet agents and other scrapers go on.
    agent.deliver(2, (1..5000).map(flow).collect()).await;
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(metrics.sum(IO, &[RECEIVE]), 2.0 * 4999.0 * 100.0);
}
