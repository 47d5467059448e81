use std::{collections::BTreeMap, net::SocketAddr};

use tonic::Status;
use weir_gateway::RunningGateway;

use crate::support::{
    Agent, Answer, DataPoint, PERIOD_END, Sink, eventually, flow, gateway, netflow, scrape, text,
    with,
};

const IO: &str = "weir.network.flow.io";
/// As the ledger calls the metrics of the exporter `main`.
const MAIN: &str = "otlp_exporters.main.metrics";
const RECEIVE: (&str, &str) = ("network.io.direction", "receive");

/// With an exporter `main` that sends flows; `more` are further keys of `flows`.
async fn gateway_to(sink: SocketAddr, more: &str) -> RunningGateway {
    gateway(&configuration(sink, &format!("gather: 10ms{more}"), "")).await
}

fn configuration(sink: SocketAddr, flows: &str, more: &str) -> String {
    format!(
        "otlp_exporters: {{main: {{endpoint: 'http://{sink}', batch: {{delay: 5ms}}, flows: {{{flows}}}{more}}}}}"
    )
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

    assert_eq!(sink.schemas(), ["https://opentelemetry.io/schemas/1.37.0"]);
    eventually!(sent(&gateway).await == points.len() as f64);
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(metrics.ledger(MAIN), (1.0, 1.0, 0.0));
}

#[tokio::test]
async fn two_processes_of_one_period_are_one_data_point() {
    let sink = Sink::start().await;
    let gateway = gateway(&configuration(sink.address, "gather: 300ms", "")).await;
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
    let retries = || async {
        let metrics = scrape(gateway.prometheus).await;
        metrics.sum("weir_gateway_exporter_retries_total", &[])
    };
    eventually!(retries().await >= 1.0);

    let sink = Sink::start_at(address).await;
    eventually!(
        sink.sum(IO, &[RECEIVE]) == 49.0 * 200.0,
        "{}",
        sink.sum(IO, &[RECEIVE])
    );
    eventually!(scrape(gateway.prometheus).await.ledger(MAIN) == (99.0, 99.0, 0.0));
}

#[tokio::test]
async fn past_the_queue_points_are_dropped_counted_and_nobody_else_waits() {
    // Nobody listens there.
    let sink = Sink::start().await;
    let address = sink.address;
    drop(sink);
    let keys = ", queue: {size: 20KiB}, in_flight: 1";
    let gateway = gateway(&configuration(address, "gather: 0s", keys)).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    for sequence in 1..=100 {
        agent.deliver(sequence, vec![flow(443)]).await;
    }
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(metrics.ledger("prometheus"), (100.0, 100.0, 0.0));
    let (offered, delivered, dropped) = metrics.ledger(MAIN);
    assert_eq!((offered, delivered + dropped), (100.0, 100.0));
    assert!((1.0..100.0).contains(&dropped), "{dropped}");
    let full = [("output", MAIN), ("cause", "queue_full")];
    assert_eq!(
        metrics.one("weir_gateway_output_points_dropped_total", &full),
        dropped
    );

    let sink = Sink::start_at(address).await;
    eventually!(sink.sum(IO, &[RECEIVE]) == delivered * 100.0);
}

#[tokio::test]
async fn what_the_endpoint_refuses_is_counted_in_items_and_the_rest_goes_on() {
    let sink = Sink::start().await;
    sink.then(Answer::Fail(Status::invalid_argument("never")));
    let gateway = gateway_to(sink.address, "").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443)]).await;
    let refused = || async {
        let metrics = scrape(gateway.prometheus).await;
        let labels = [("exporter", "main"), ("cause", "refused")];
        metrics.sum("weir_gateway_exporter_items_dropped_total", &labels)
    };
    // Two data points each of bytes and packets, connections established and live.
    eventually!(refused().await == 6.0);
    sink.then(Answer::Reject(2));
    agent.deliver(2, vec![flow(443)]).await;
    eventually!(sent(&gateway).await == 4.0);
    assert_eq!(sink.sum(IO, &[RECEIVE]), 100.0);
}

#[tokio::test]
async fn a_hanging_endpoint_is_given_up_on_and_asked_again() {
    let sink = Sink::start().await;
    sink.then(Answer::Hang);
    let keys = ", timeout: 100ms";
    let gateway = gateway(&configuration(sink.address, "gather: 10ms", keys)).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443)]).await;
    eventually!(sink.sum(IO, &[RECEIVE]) == 100.0);
}

#[tokio::test]
async fn a_large_period_comes_in_several_requests_and_whole() {
    let sink = Sink::start().await;
    let gateway = gateway_to(sink.address, "").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, (1..=3000).map(flow).collect()).await;
    eventually!(sink.sum(IO, &[RECEIVE]) == 300_000.0);
    assert!(sink.schemas().len() >= 10, "{}", sink.schemas().len());
}

#[tokio::test]
async fn names_as_long_as_can_be_do_not_make_requests_too_large() {
    let sink = Sink::start().await;
    let gateway = gateway_to(sink.address, "").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let long = |port| {
        let event = with(flow(port), |event| event.dst_domain = "\\000".repeat(253));
        netflow(event, |netflow| {
            netflow.rtt_us = Some(1.0);
            netflow.rtt_var_us = Some(1.0);
            netflow.retransmits = 1;
            netflow.tcp_closed = 1;
            netflow.tcp_reset = 1;
            netflow.tcp_failed = 1;
            netflow.connect_latency_us = Some(1.0);
            netflow.connect_latency_max_us = Some(1.0);
        })
    };
    agent.deliver(1, (1..=256).map(long).collect()).await;
    eventually!(sink.sum(IO, &[RECEIVE]) == 25_600.0);
    assert!(sink.schemas().len() >= 2, "{}", sink.schemas().len());
}

#[tokio::test]
async fn two_exporters_get_the_same_flows_in_their_own_way() {
    let (deltas, sums) = (Sink::start().await, Sink::start().await);
    let gateway = gateway(&format!(
        "otlp_exporters:
  deltas: {{endpoint: 'http://{}', flows: {{gather: 0s}}}}
  sums: {{endpoint: 'http://{}', flows: {{gather: 0s, temporality: cumulative}}}}",
        deltas.address, sums.address
    ))
    .await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    for period in 0..7_u64 {
        let flow = |port: u32, bytes: u64| {
            let at = PERIOD_END + period * 10_000_000_000;
            let event = with(flow(port), |event| event.time_unix_nano = at);
            netflow(event, |netflow| netflow.bytes_read = bytes)
        };
        // The second is quiet now and then, the third begins late.
        let mut flows = vec![flow(1, 10 + period), flow(2, 5 * (period % 2))];
        flows.extend((period >= 3).then(|| flow(3, 1000)));
        agent.deliver(period + 1, flows).await;
    }
    let of = |sink: &Sink| {
        let points = sink.data_points().into_iter();
        let read = |point: &DataPoint| {
            point.metric == IO && point.attributes["network.io.direction"] == "receive"
        };
        let mut series = BTreeMap::<String, Vec<_>>::new();
        for point in points.filter(read) {
            let port = point.attributes["destination.port"].clone();
            let point = (point.time, point.start, point.value, point.delta);
            series.entry(port).or_default().push(point);
        }
        for points in series.values_mut() {
            points.sort_by_key(|(time, ..)| *time);
        }
        series
    };
    eventually!(of(&sums).values().map(Vec::len).sum::<usize>() == 7 + 7 + 4);
    eventually!(of(&deltas).values().map(Vec::len).sum::<usize>() == 7 + 3 + 4);
    let (deltas, sums) = (of(&deltas), of(&sums));
    for (port, points) in &sums {
        let start = points[0].1;
        let first = deltas[port][0];
        assert!(start <= first.1, "{port}: begins with its first period");
        for (time, own_start, value, delta) in points {
            assert!(!delta && *own_start == start, "{port}: one start");
            let until = deltas[port].iter().filter(|(at, ..)| at <= time);
            let total: f64 = until.map(|(_, _, value, _)| value).sum();
            assert_eq!(*value, total, "{port} at {time}");
        }
    }
    assert_eq!(sums["int 3"][0].1, PERIOD_END + 20_000_000_000);
}

#[tokio::test]
async fn cumulative_sums_past_the_budget_are_folded_counted_and_exact() {
    let sink = Sink::start().await;
    let keys = ", temporality: cumulative, series_budget: 3";
    let gateway = gateway_to(sink.address, keys).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    for sequence in 1..=4 {
        let at = PERIOD_END + sequence * 10_000_000_000;
        let flow = |port| with(flow(port), |event| event.time_unix_nano = at);
        agent.deliver(sequence, (1..=10).map(flow).collect()).await;
    }
    let other = [("destination.port", "~other"), RECEIVE];
    let latest = |attributes: &[(&str, &str)]| {
        let points = sink.data_points().into_iter();
        let wanted = |point: &DataPoint| {
            let mut all = attributes.iter();
            point.metric == IO && all.all(|(k, v)| point.attributes.get(*k).is_some_and(|o| o == v))
        };
        let latest = points.filter(wanted).max_by_key(|point| point.time);
        latest.map_or(0.0, |point| point.value)
    };
    eventually!(latest(&other) == 4.0 * 7.0 * 100.0);
    eventually!(latest(&[("destination.port", "int 1"), RECEIVE]) == 400.0);
    let folded = sink.data_points();
    let folded = folded.iter().filter(|p| {
        p.attributes
            .get("destination.port")
            .is_some_and(|p| p == "~other")
    });
    for point in folded {
        assert_eq!(point.resource["host.name"], "~other");
        assert!(
            !point.metric.ends_with("connections"),
            "a gauge of a mixture"
        );
    }
    let metrics = scrape(gateway.prometheus).await;
    let labels = [("exporter", "main"), ("group", "flow")];
    let of = |name: &str| metrics.one(&format!("weir_gateway_exporter_flow_{name}"), &labels);
    assert_eq!(of("label_sets"), 3.0);
    assert_eq!(of("points_folded_total"), 28.0);
    assert_eq!(of("values_left_total"), 28.0);
    assert_eq!(metrics.ledger(MAIN), (40.0, 40.0, 0.0));
}

#[tokio::test]
async fn an_idle_cumulative_series_goes_and_comes_back_with_a_new_start() {
    let sink = Sink::start().await;
    let keys = ", temporality: cumulative, idle_expiry: 100ms";
    let gateway = gateway_to(sink.address, keys).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443)]).await;
    let expired = || async {
        let metrics = scrape(gateway.prometheus).await;
        metrics.sum("weir_gateway_exporter_flow_label_sets_expired_total", &[])
    };
    eventually!(expired().await == 1.0);
    let later = PERIOD_END + 3_600_000_000_000;
    let again = with(flow(443), |event| event.time_unix_nano = later);
    agent.deliver(2, vec![again]).await;
    eventually!(sink.sum(IO, &[RECEIVE]) == 200.0);
    let points = sink.data_points().into_iter();
    let sums = points.filter(|point| point.metric == IO);
    let last = sums.max_by_key(|point| point.time).expect("a data point");
    assert_eq!(last.start, later - 10_000_000_000, "{last:?}");
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_break_a_cumulative_series() {
    let sink = Sink::start().await;
    let gateway = gateway_to(sink.address, ", temporality: cumulative").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    for (sequence, back) in [(1, 0), (2, 3_600_000_000_000), (3, 3_000_000_000_000)] {
        let event = with(flow(443), |event| event.time_unix_nano -= back);
        agent.deliver(sequence, vec![event]).await;
        eventually!(
            sink.data_points()
                .iter()
                .any(|p| p.value == 100.0 * sequence as f64)
        );
    }
    let points = sink.data_points().into_iter();
    let wanted =
        |p: &DataPoint| p.metric == IO && p.attributes["network.io.direction"] == "receive";
    let points: Vec<_> = points.filter(wanted).map(|p| (p.time, p.value)).collect();
    let later = |by| PERIOD_END + by;
    assert_eq!(
        points,
        [(later(0), 100.0), (later(1), 200.0), (later(2), 300.0)]
    );
}

#[tokio::test]
async fn every_flow_is_a_log_record_and_a_span_where_that_is_asked_for() {
    let sink = Sink::start().await;
    let gateway = gateway(&configuration(sink.address, "as: [logs, spans]", "")).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let flows = (1..=2500).map(flow).collect();
    agent.deliver(1, flows).await;
    eventually!(sink.logs().len() == 2500 && sink.spans().len() == 2500);
    assert!(sink.data_points().is_empty(), "no metrics");
    let (logs, spans) = (sink.logs(), sink.spans());
    for (resource, log) in &logs {
        assert_eq!(resource["host.name"], "node-1");
        assert_eq!(log.event_name, "weir.flow.netflow");
        assert_eq!((log.severity_number, &*log.severity_text), (9, "INFO"));
        assert_eq!((log.time_unix_nano, &log.body), (PERIOD_END, &None));
        let attributes = text(&log.attributes);
        assert_eq!(attributes["weir.network.flow.io.receive"], "int 100");
    }
    let mut ids = std::collections::BTreeSet::new();
    for (resource, span) in &spans {
        assert_eq!(resource["host.name"], "node-1");
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
        assert!(span.trace_id.iter().any(|byte| *byte != 0));
        assert!(span.span_id.iter().any(|byte| *byte != 0));
        assert!(ids.insert((&span.trace_id, &span.span_id)), "an id twice");
        assert_eq!(span.end_time_unix_nano, PERIOD_END);
        assert_eq!(span.start_time_unix_nano, PERIOD_END - 10_000_000_000);
    }
    let sum = |sums: Vec<BTreeMap<String, String>>| -> u64 {
        let port = |attributes: &BTreeMap<String, String>| {
            let port = attributes["destination.port"].strip_prefix("int ");
            port.and_then(|port| port.parse().ok()).unwrap_or(0_u64)
        };
        sums.iter().map(port).sum()
    };
    let of = |attributes: &[_]| text(attributes);
    assert_eq!(
        sum(logs.iter().map(|(_, log)| of(&log.attributes)).collect()),
        2500 * 2501 / 2
    );
    assert_eq!(
        sum(spans.iter().map(|(_, span)| of(&span.attributes)).collect()),
        2500 * 2501 / 2
    );
    let metrics = scrape(gateway.prometheus).await;
    for output in ["otlp_exporters.main.logs", "otlp_exporters.main.spans"] {
        assert_eq!(metrics.ledger(output), (2500.0, 2500.0, 0.0), "{output}");
    }
}

/// Items that the exporter `main` has sent.
async fn sent(gateway: &RunningGateway) -> f64 {
    let metrics = scrape(gateway.prometheus).await;
    metrics.sum(
        "weir_gateway_exporter_items_sent_total",
        &[("exporter", "main")],
    )
}

#[tokio::test]
async fn an_sdk_is_told_what_the_page_did_not_take_unless_an_exporter_has_it() {
    use opentelemetry_proto::tonic::{
        collector::metrics::v1::{
            ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient,
        },
        metrics::v1::{
            Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
            number_data_point::Value,
        },
    };
    let gauge = |name: &str| Metric {
        name: name.to_owned(),
        data: Some(Data::Gauge(Gauge {
            data_points: vec![NumberDataPoint {
                time_unix_nano: PERIOD_END,
                value: Some(Value::AsDouble(1.0)),
                ..NumberDataPoint::default()
            }],
        })),
        ..Metric::default()
    };
    let request = || ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![gauge("mine"), gauge("weir_gateway_agents")],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    let answer = async |configuration: &str| {
        let gateway = gateway(configuration).await;
        let endpoint = format!("http://{}", gateway.otlp_grpc.expect("on"));
        let mut client = MetricsServiceClient::connect(endpoint)
            .await
            .expect("a receiver");
        let answer = client.export(request()).await.expect("taken").into_inner();
        (answer.partial_success, scrape(gateway.prometheus).await)
    };
    let (partial, metrics) = answer("").await;
    let partial = partial.expect("one data point is not shown");
    assert_eq!(partial.rejected_data_points, 1);
    assert!(partial.error_message.contains("name_taken"), "{partial:?}");
    assert_eq!(
        metrics.sum("weir_gateway_otlp_receiver_items_total", &[]),
        1.0
    );
    assert_eq!(
        metrics.sum("weir_gateway_otlp_receiver_items_rejected_total", &[]),
        1.0
    );

    let sink = Sink::start().await;
    let to_sink = configuration(sink.address, "gather: 0s", "");
    let (partial, metrics) = answer(&to_sink).await;
    assert_eq!(partial, None);
    assert_eq!(
        metrics.sum("weir_gateway_otlp_receiver_items_total", &[]),
        2.0
    );
    let elsewhere = configuration(sink.address, "gather: 0s", ", signals: [logs]");
    let (partial, _) = answer(&elsewhere).await;
    assert!(partial.is_some(), "an exporter for logs does not have it");
}
