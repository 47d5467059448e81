//! What the gateway process says about itself over OTLP.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{Agent, Sink, eventually, flow, scrape, text};

/// A gateway as a process of its own: there is one log for a process.
struct Process {
    child: Child,
    flow: SocketAddr,
    prometheus: SocketAddr,
    _folder: TempDir,
}

impl Process {
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("gateway.yaml");
        let free = "{listen: '127.0.0.1:0'}";
        let receiver = format!("otlp_receiver: {{grpc: {free}, http: {free}}}\n");
        let receiver = if more.contains("otlp_receiver") {
            ""
        } else {
            &receiver
        };
        let own = format!("flow: {free}\nprometheus: {free}\n{receiver}");
        fs::write(&file, format!("{own}{more}")).expect("a file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_weir-gateway"))
            .arg("--config")
            .arg(&file)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let line = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains("gateway listens"))
            .expect("a gateway that listens");
        // What it says later must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        let address = |key: &str| {
            let (_, rest) = line.split_once(&format!(" {key}=")).expect(key);
            let text = rest.split_whitespace().next().expect("a value");
            text.parse().expect("an address")
        };
        Self {
            flow: address("flow"),
            prometheus: address("prometheus"),
            child,
            _folder: folder,
        }
    }

    /// How long it took to end in order.
    async fn stop(&mut self) -> Duration {
        let pid = Pid::from_child(&self.child);
        // Until it waits for the signal, the signal is sudden death.
        let waits = || {
            let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
            let status = status.expect("a process");
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = u64::from_str_radix(caught.expect("a mask").trim(), 16);
            caught.expect("hexadecimal") & (1 << (Signal::TERM.as_raw() - 1)) != 0
        };
        eventually!(waits());
        let started = Instant::now();
        kill_process(pid, Signal::TERM).expect("a process");
        assert!(self.child.wait().expect("an end").success());
        started.elapsed()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing to do if it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port where nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

#[tokio::test]
async fn warnings_come_soon_and_the_last_numbers_before_the_end() {
    let sink = Sink::start().await;
    let mut gateway = Process::start(&format!(
        "telemetry: {{endpoint: 'http://{}', interval: 1h, attributes: {{deployment.environment.name: test}}}}
otlp_exporters: {{main: {{endpoint: 'http://{}', queue: {{size: 1MiB}}, flows: {{gather: 0s}}}}}}
stop: {{deadline: 2s}}",
        sink.address,
        nobody()
    ));
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443); 7]).await;
    eventually!(!sink.logs().is_empty());
    let (resource, log) = sink.logs().remove(0);
    assert_eq!(resource["service.name"], "weir-gateway");
    assert_eq!(resource["deployment.environment.name"], "test");
    assert_eq!(resource["service.instance.id"].len(), 36);
    assert!(!resource["host.name"].is_empty());
    assert_eq!((log.severity_number, &*log.severity_text), (13, "WARN"));
    let attributes = text(&log.attributes);
    assert_eq!(attributes["exporter"], "main");
    assert!(attributes["error"].contains("connect"), "{attributes:?}");
    assert!(sink.data_points().is_empty(), "an hour has not passed");

    drop(agent);
    gateway.stop().await;
    let points = sink.data_points();
    let one = |name: &str, labels: &[(&str, &str)]| {
        let mut found = points.iter().filter(|point| {
            let own = |key: &str| point.attributes.get(key).map(String::as_str);
            point.metric == name && labels.iter().all(|(key, value)| own(key) == Some(value))
        });
        let point = found.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(found.next().is_none(), "{name} twice");
        point.value
    };
    assert_eq!(one("weir_gateway_build_info", &[]), 1.0);
    assert_eq!(one("weir_gateway_intake_rows_total", &[]), 7.0);
    let output = [("output", "otlp_exporters.main.metrics")];
    assert_eq!(
        one("weir_gateway_output_points_offered_total", &output),
        7.0
    );
    assert_eq!(one("weir_telemetry_log_events_dropped_total", &[]), 0.0);
    assert!(
        points
            .iter()
            .all(|p| p.resource["service.name"] == "weir-gateway")
    );
}

#[tokio::test]
async fn a_gateway_that_sends_to_itself_does_not_feed_itself_without_end() {
    let own = nobody();
    let mut gateway = Process::start(&format!(
        "telemetry: {{endpoint: 'http://{own}', interval: 50ms}}
otlp_receiver: {{grpc: {{listen: '{own}'}}, http: {{listen: '127.0.0.1:0'}}}}
otlp_exporters: {{main: {{endpoint: 'http://{}', queue: {{size: 100KiB}}}}}}
stop: {{deadline: 5s}}",
        nobody()
    ));
    let received = |signal: &'static str, what: &'static str| async move {
        let metrics = scrape(gateway.prometheus).await;
        let name = format!("weir_gateway_otlp_receiver_{what}_total");
        metrics.sum(&name, &[("signal", signal)])
    };
    // Everything that can go wrong has: nobody takes what is forwarded, and the queue is full.
    let full = || async {
        let metrics = scrape(gateway.prometheus).await;
        metrics.sum("weir_gateway_exporter_items_refused_total", &[])
    };
    eventually!(full().await > 0.0);
    let requests = received("metrics", "requests").await;
    let items = received("logs", "requests").await;
    // A client that is told to wait does: these are seconds.
    eventually!(received("metrics", "requests").await >= requests + 6.0);
    let logs = received("logs", "requests").await;
    assert!(
        logs <= items + 10.0,
        "{logs} requests of logs, {items} before"
    );
    assert!(gateway.stop().await < Duration::from_secs(10));
}

#[tokio::test]
async fn an_endpoint_that_is_away_costs_a_stop_little() {
    let mut gateway = Process::start(&format!(
        "telemetry: {{endpoint: 'http://{}', interval: 100ms}}",
        nobody()
    ));
    let took = gateway.stop().await;
    assert!(took < Duration::from_secs(8), "{took:?}");
}
