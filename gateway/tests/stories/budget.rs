//! What a user sees of the budgets: bounds that hold, totals that stay.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use weir_proto::flow::v1::FlowEvent;

use crate::support::{
    Agent, DataPoint, Metrics, PERIOD_END, Sink, eventually, flow, gateway, get, netflow, scrape,
    with,
};

const IO: &str = "weir_network_flow_io_bytes_total";
const RECEIVE: (&str, &str) = ("network_io_direction", "receive");
const FLOW: (&str, &str) = ("group", "flow");
const PORTS: (&str, &str) = ("tag", "dst_port");

fn of(process: &str, port: u32) -> FlowEvent {
    let event = netflow(flow(port), |netflow| netflow.rtt_us = Some(100.0));
    with(event, |event| event.process_name = process.to_owned())
}

#[tokio::test]
async fn a_tag_past_its_values_costs_its_own_detail_and_no_other() {
    let gateway = gateway("prometheus: {label_values: {dst_port: 2}}").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let both = |port| ["curl", "wget"].map(|process| of(process, port));
    agent.deliver(1, (1..=10).flat_map(both).collect()).await;
    agent.deliver(2, both(1).to_vec()).await;

    let metrics = scrape(gateway.prometheus).await;
    for process in ["curl", "wget"] {
        let of = |port| {
            let process = ("process_executable_name", process);
            metrics.one(IO, &[("destination_port", port), process, RECEIVE])
        };
        assert_eq!((of("1"), of("2"), of("~other")), (200.0, 100.0, 800.0));
    }
    let other = ("destination_port", "~other");
    let mixed = [other, RECEIVE];
    let (series, _) = metrics.series(IO, &mixed).next().expect("one");
    assert_eq!(series["source_address"], "10.0.0.1");
    assert_eq!(
        metrics.values("weir_network_tcp_rtt_seconds", &[other]),
        [0.0_f64; 0],
        "a round-trip time of a mixture"
    );
    let own = |name: &str, labels: &[(&str, &str)]| {
        metrics.one(&format!("weir_gateway_prometheus_{name}"), labels)
    };
    assert_eq!(own("label_values", &[FLOW, PORTS]), 2.0);
    assert_eq!(own("label_values_folded_total", &[FLOW, PORTS]), 16.0);
    assert_eq!(own("values_left_total", &[FLOW]), 32.0);
    assert_eq!(own("points_folded_total", &[FLOW]), 0.0);
}

#[tokio::test]
async fn a_value_that_is_gone_makes_room_for_another() {
    let keys = "prometheus: {label_values: {dst_port: 1}, idle_expiry: 1s}";
    let gateway = gateway(keys).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(1)]).await;
    eventually!(
        scrape(gateway.prometheus)
            .await
            .one("weir_gateway_prometheus_label_values", &[FLOW, PORTS])
            == 0.0
    );
    agent.deliver(2, vec![flow(2)]).await;
    let metrics = scrape(gateway.prometheus).await;
    let second = [RECEIVE, ("destination_port", "2")];
    assert_eq!(metrics.one(IO, &second), 100.0);
}

#[tokio::test]
async fn cumulative_sums_have_other_for_values_without_room_and_stay_exact() {
    let sink = Sink::start().await;
    let gateway = gateway(&format!(
        "otlp_exporters: {{main: {{endpoint: 'http://{}', batch: {{delay: 5ms}},
           flows: {{gather: 10ms, temporality: cumulative, label_values: {{dst_port: 3, host: 1}}}}}}}}",
        sink.address
    ))
    .await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    for sequence in 1..=4 {
        let at = PERIOD_END + sequence * 10_000_000_000;
        let flow = |port| with(flow(port), |event| event.time_unix_nano = at);
        agent.deliver(sequence, (1..=10).map(flow).collect()).await;
    }
    let io = |port: &'static str| {
        let mut points = sink.data_points();
        points.retain(|point: &DataPoint| {
            let is = |name: &str, value| point.attributes.get(name).is_some_and(|own| own == value);
            point.metric == "weir.network.flow.io"
                && is("network.io.direction", "receive")
                && is("destination.port", port)
        });
        points.sort_by_key(|point| point.time);
        points
    };
    let latest = |port| io(port).last().map_or(0.0, |point| point.value);
    eventually!(latest("~other") == 4.0 * 7.0 * 100.0);
    eventually!(latest("int 1") == 400.0);
    let other = io("~other");
    assert!(other.len() <= 4, "one data point per round, not per Point");
    assert!(other.is_sorted_by(|a, b| a.time < b.time));
    for point in other {
        assert_eq!(point.resource["host.name"], "node-1");
        assert_eq!(point.attributes["process.executable.name"], "curl");
    }
    let metrics = scrape(gateway.prometheus).await;
    let name = "weir_gateway_exporter_flow_label_values";
    let labels = [("exporter", "main"), FLOW, PORTS];
    assert_eq!(metrics.one(name, &labels), 3.0);
    assert_eq!(metrics.one(&format!("{name}_folded_total"), &labels), 28.0);
    let output = "otlp_exporters.main.metrics";
    assert_eq!(metrics.ledger(output), (40.0, 40.0, 0.0));
}

/// A gateway in a process of its own, so that its memory can be told from that of the tests.
struct Alone {
    process: Child,
    flow: SocketAddr,
    prometheus: SocketAddr,
}

impl Alone {
    fn start(configuration: &str) -> Self {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(configuration.as_bytes()).expect("room");
        // After the other stories, some of which wait for little.
        let mut process = Command::new("nice")
            .arg(env!("CARGO_BIN_EXE_weir-gateway"))
            .arg("--config")
            .arg(file.path())
            .env("WEIR_LOG", "info")
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway");
        let log = process.stderr.take().expect("a pipe");
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let line = lines.by_ref().find(|line| line.contains("gateway listens"));
        let line = line.expect("a gateway that listens");
        let address = |key: &str| {
            let (_, rest) = line.split_once(key).expect("an address");
            let end = rest.find(' ').unwrap_or(rest.len());
            rest[..end].parse().expect("an address")
        };
        let (flow, prometheus) = (address(" flow="), address(" prometheus="));
        // Whoever writes to a pipe that nobody reads waits.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            flow,
            prometheus,
        }
    }

    /// Memory in use, in KiB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("a live process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.expect("a number").parse().expect("a number")
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.process.kill().expect("a live process");
        self.process.wait().expect("its end");
    }
}

/// A label set like no other: scanned addresses, ports, and names of programs with a number in them.
fn distinct(number: u32) -> FlowEvent {
    with(
        of(&format!("job-{}", number / 500), number % 1000 + 1),
        |event| {
            event.dst_ip = number.to_be_bytes().to_vec();
        },
    )
}

#[tokio::test]
async fn a_million_label_sets_take_no_more_than_the_budget_and_lose_nothing() {
    const ALL: u32 = 1_000_000;
    const BATCH: u32 = 2000;
    const BUDGET: usize = 5000;
    let gateway = Alone::start(&format!(
        "{{flow: {{listen: '127.0.0.1:0'}},
           otlp_receiver: {{grpc: {{listen: '127.0.0.1:0'}}, http: {{listen: off}}}},
           prometheus: {{listen: '127.0.0.1:0', series_budget: {BUDGET}, label_values: {{dst_ip: 1000, default: 2000}}}}}}"
    ));
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let mut used_up = None;
    for batch in 0..ALL / BATCH {
        let events = (batch * BATCH..(batch + 1) * BATCH).map(distinct);
        agent.deliver((batch + 1).into(), events.collect()).await;
        // By then everything that may be held is.
        if batch == ALL / BATCH / 10 {
            let (_, page) = get(gateway.prometheus, "/metrics").await;
            used_up = Some((gateway.memory(), page.len()));
        }
    }
    let (_, page) = get(gateway.prometheus, "/metrics").await;
    let (memory, size) = used_up.expect("a tenth of the way");
    let growth = gateway.memory().saturating_sub(memory);
    // Without a budget, these would take a GiB.
    assert!(growth < 32 * 1024, "{growth} KiB more than {memory} KiB");
    assert!(
        page.len() < size + size / 10,
        "{} bytes after {size}",
        page.len()
    );

    let metrics = Metrics::parse(&page);
    assert_eq!(metrics.values(IO, &[RECEIVE]).len(), BUDGET + 1);
    assert_eq!(metrics.sum(IO, &[RECEIVE]), f64::from(ALL) * 100.0);
    let other = ("destination_address", "~other");
    let folded = metrics.sum(IO, &[RECEIVE, other]);
    assert_eq!(folded, f64::from(ALL - 1000) * 100.0);
    let own = |name: &str, tag: &str| {
        let name = format!("weir_gateway_prometheus_{name}");
        metrics.one(&name, &[FLOW, ("tag", tag)])
    };
    assert_eq!(own("label_values", "dst_ip"), 1000.0);
    assert_eq!(
        own("label_values_folded_total", "dst_ip"),
        f64::from(ALL - 1000)
    );
    assert!(own("label_values", "process_name") <= 2000.0);
}
