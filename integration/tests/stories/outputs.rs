//! The three outputs say the same: a real Prometheus, an OTLP backend, and the live stream.

use std::{
    net::{SocketAddr, TcpListener},
    process::Command,
    sync::{Arc, Mutex},
};

use anyhow::Context as _;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{NumberDataPoint, metric::Data, number_data_point},
};
use tokio_stream::wrappers::TcpListenerStream;
use weir_integration::{
    eventually,
    flows::{Flows, sum},
    netns::sh,
    process::Running,
    traffic::{Program, Said},
    weir::{Agent, Gateway},
};

/// Exchanges a known number of bytes and returns the port and what the client said.
fn exchange() -> anyhow::Result<(u16, Said)> {
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let mut server = billing.run(
        None,
        "serve --listen 127.0.0.1:0 --expect 1234567 --send 89 --connections 4",
    )?;
    let port = server.port()?;
    let connect =
        format!("connect --to 127.0.0.1:{port} --send 1234567 --expect 89 --connections 4");
    Ok((port, orders.run(None, &connect)?.said()?))
}

/// A real Prometheus that scrapes a gateway.
struct Prometheus {
    _process: Running,
    address: SocketAddr,
}

impl Prometheus {
    fn scraping(gateway: &Gateway) -> anyhow::Result<Self> {
        let folder = gateway.folder();
        // Prometheus takes no port 0; nobody else asks for this one in the next moment.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = format!(
            "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\nscrape_configs:\n- job_name: weir\n  static_configs:\n  - targets: ['{}']\n",
            gateway.prometheus
        );
        std::fs::write(folder.join("prometheus.yml"), config)?;
        let process = Running::start(
            "prometheus",
            Command::new("prometheus")
                .arg(format!(
                    "--config.file={}",
                    folder.join("prometheus.yml").display()
                ))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    folder.join("tsdb").display()
                ))
                .arg(format!("--web.listen-address={address}")),
        )?;
        Ok(Self {
            _process: process,
            address,
        })
    }

    /// The value of a query that gives one number; `None` while it gives nothing.
    fn query(&self, query: &str) -> anyhow::Result<Option<f64>> {
        let url = format!("http://{}/api/v1/query", self.address);
        let text = sh(&format!(
            "curl -sf --get --data-urlencode '{}' {url}",
            format_args!("query={query}")
        ))?;
        let answer: serde_json::Value = serde_json::from_str(&text)?;
        let value = answer
            .pointer("/data/result/0/value/1")
            .and_then(serde_json::Value::as_str);
        Ok(value.map(str::parse).transpose()?)
    }
}

#[test]
fn a_real_prometheus_returns_the_bytes_that_were_sent() -> anyhow::Result<()> {
    let gateway = Gateway::start("")?;
    let prometheus = Prometheus::scraping(&gateway)?;
    let _agent = Agent::start(gateway.flow, "")?;
    let (port, client) = exchange()?;

    for (direction, expected) in [("transmit", client.written), ("receive", client.read)] {
        let query = format!(
            r#"sum(weir_network_flow_io_bytes_total{{flow_direction="outgoing",destination_port="{port}",network_io_direction="{direction}",process_executable_name="orders"}})"#
        );
        eventually(
            "Prometheus to have the client's bytes",
            || match prometheus.query(&query) {
                Ok(Some(value)) if value == expected as f64 => Ok(()),
                other => Err(format!("{direction}: {other:?} instead of {expected}")),
            },
        )?;
    }
    let closed = format!(r#"sum(weir_network_tcp_closed_total{{source_port="{port}"}})"#);
    eventually(
        "Prometheus to have the server's connections",
        || match prometheus.query(&closed) {
            Ok(Some(4.0)) => Ok(()),
            other => Err(format!("{other:?} instead of 4")),
        },
    )
}

#[test]
fn the_metrics_page_is_clean_for_promtool() -> anyhow::Result<()> {
    let gateway = Gateway::start("")?;
    let _agent = Agent::start(gateway.flow, "")?;
    let (port, _) = exchange()?;
    let label = format!(r#"destination_port="{port}""#);
    eventually("flows on the page", || {
        match gateway.metric("weir_network_flow_io_bytes_total", &[&label]) {
            Ok(value) if value > 0.0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    let page = gateway.folder().join("page.txt");
    std::fs::write(&page, gateway.metrics()?)?;
    let said = sh(&format!("promtool check metrics < {} 2>&1", page.display()))?;
    assert_eq!(said.trim(), "", "promtool has nothing to say");
    Ok(())
}

#[test]
fn every_metric_on_the_page_is_in_the_reference() -> anyhow::Result<()> {
    let gateway = Gateway::start("")?;
    let _agent = Agent::start(gateway.flow, "")?;
    let (port, _) = exchange()?;
    let label = format!(r#"destination_port="{port}""#);
    eventually("flows and the agent's counters on the page", || {
        let metric = |name, labels: &[&str]| {
            gateway
                .metric(name, labels)
                .map_err(|error| error.to_string())
        };
        let flows = metric("weir_network_flow_io_bytes_total", &[&label])?;
        let read = metric("weir_agent_records_read_total", &[])?;
        if flows > 0.0 && read > 0.0 {
            Ok(())
        } else {
            Err(format!("{flows} {read}"))
        }
    })?;
    let reference = include_str!("../../../docs/metrics.md");
    let page = gateway.metrics()?;
    let names = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let missing: Vec<_> = names
        .filter(|name| !reference.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:?}");
    Ok(())
}

/// What a shell script can send: a counter and a histogram, in JSON.
const METRICS: &str = r#"{"resourceMetrics":[{
  "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"script"}}]},
  "scopeMetrics":[{"metrics":[
    {"name":"jobs.done","unit":"{job}","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[
      {"asInt":"41","timeUnixNano":"1700000000000000000","attributes":[{"key":"queue","value":{"stringValue":"a"}}]}]}},
    {"name":"job.duration","unit":"s","histogram":{"aggregationTemporality":2,"dataPoints":[
      {"count":"3","sum":7.5,"bucketCounts":["1","1","1"],"explicitBounds":[1,5],"timeUnixNano":"1700000000000000000"}]}}
  ]}]}]}"#;

#[test]
fn metrics_that_a_script_sends_over_otlp_are_in_prometheus() -> anyhow::Result<()> {
    let (gateway, otlp) = Gateway::start_otlp("")?;
    let prometheus = Prometheus::scraping(&gateway)?;
    let file = gateway.folder().join("metrics.json");
    std::fs::write(&file, METRICS)?;
    sh(&format!(
        "curl -sf -H content-type:application/json -d @{} http://{}/v1/metrics",
        file.display(),
        otlp.http
    ))?;
    for (query, expected) in [
        (r#"jobs_done_total{queue="a",job="script"}"#, 41.0),
        ("sum(job_duration_seconds_sum)", 7.5),
        // OpenMetrics writes `5.0`.
        (r#"sum(job_duration_seconds_bucket{le=~"5([.]0)?"})"#, 2.0),
    ] {
        let query = query.replace(r#"job="script""#, r#"exported_job="script""#);
        eventually("Prometheus to have them", || {
            match prometheus.query(&query) {
                Ok(Some(value)) if value == expected => Ok(()),
                other => Err(format!("{query}: {other:?} instead of {expected}")),
            }
        })?;
    }
    Ok(())
}

type Requests = Arc<Mutex<Vec<ExportMetricsServiceRequest>>>;

/// An OTLP backend that keeps what it gets.
struct Backend(Requests);

#[tonic::async_trait]
impl MetricsService for Backend {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

async fn backend() -> anyhow::Result<(SocketAddr, Requests)> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let (address, requests) = (listener.local_addr()?, Requests::default());
    let service = MetricsServiceServer::new(Backend(Arc::clone(&requests)));
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    Ok((address, requests))
}

fn has(attributes: &[KeyValue], key: &str, wanted: &str) -> bool {
    attributes.iter().any(|attribute| {
        let value = attribute
            .value
            .as_ref()
            .and_then(|value| value.value.as_ref());
        attribute.key == key
            && match value {
                Some(Value::StringValue(text)) => text == wanted,
                Some(Value::IntValue(number)) => number.to_string() == wanted,
                _ => false,
            }
    })
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(number_data_point::Value::AsInt(value)) => value as f64,
        Some(number_data_point::Value::AsDouble(value)) => value,
        None => 0.0,
    }
}

/// Sum of the delta points of `metric` that have every attribute of `wanted`.
fn total(requests: &Requests, metric: &str, wanted: &[(&str, &str)]) -> f64 {
    let requests = requests.lock().unwrap();
    let metrics = requests
        .iter()
        .flat_map(|request| &request.resource_metrics)
        .flat_map(|resource| &resource.scope_metrics)
        .flat_map(|scope| &scope.metrics)
        .filter(|found| found.name == metric);
    let points = metrics.flat_map(|found| match &found.data {
        Some(Data::Sum(sum)) => sum.data_points.as_slice(),
        _ => &[],
    });
    let picked = points.filter(|point| {
        wanted
            .iter()
            .all(|(key, value)| has(&point.attributes, key, value))
    });
    picked.map(number).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_otlp_backend_and_the_live_stream_get_the_same_numbers() -> anyhow::Result<()> {
    let (address, requests) = backend().await?;
    let gateway = Gateway::start(&format!(
        "otlp_exporters:\n  backend:\n    endpoint: http://{address}\n    flows:\n"
    ))?;
    let flows = Flows::watch(&gateway, &["process_name=orders"])?;
    let _agent = Agent::start(gateway.flow, "")?;
    let (port, client) = exchange()?;
    let text = port.to_string();

    let rows = flows.until(
        "the client's rows",
        |row| row.tag("dst_port") == text,
        |rows| sum(rows, "tcp_closed") == 4,
    )?;
    assert_eq!(sum(&rows, "bytes_written"), client.written);
    let wanted = |direction| {
        vec![
            ("destination.port", text.as_str()),
            ("flow.direction", "outgoing"),
            ("network.io.direction", direction),
        ]
    };
    eventually("the OTLP backend to have them", || {
        let sent = total(&requests, "weir.network.flow.io", &wanted("transmit"));
        let received = total(&requests, "weir.network.flow.io", &wanted("receive"));
        let expected = (client.written as f64, client.read as f64);
        if (sent, received) == expected {
            Ok(())
        } else {
            Err(format!("{sent}, {received} instead of {expected:?}"))
        }
    })?;
    let all = flows.rows(|_| true);
    assert!(
        all.iter().all(|row| row.tag("process_name") == "orders"),
        "the filter holds"
    );
    gateway.process.stop().context("an orderly end").map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_sends_its_own_counters_over_otlp_where_it_is_told_to() -> anyhow::Result<()> {
    let (address, requests) = backend().await?;
    let gateway = Gateway::start("")?;
    let telemetry = format!(
        "  hook: auto\ntelemetry:\n  endpoint: http://{address}\n  interval: 200ms\n  attributes: {{site: lab}}\n"
    );
    let agent = Agent::start(gateway.flow, &telemetry)?;
    let _exchanged = exchange()?;
    eventually("the agent's counters", || {
        let acked = total(&requests, "weir_agent_uplink_rows_acked_total", &[]);
        let latest = requests.lock().unwrap().last().cloned();
        let latest = latest.ok_or_else(|| "nothing came".to_owned())?;
        let resource = latest.resource_metrics[0].resource.clone();
        let attributes = resource.unwrap_or_default().attributes;
        for (key, value) in [
            ("service.name", "weir-agent"),
            ("host.name", "story"),
            ("site", "lab"),
        ] {
            if !has(&attributes, key, value) {
                return Err(format!("no {key}={value} in {attributes:?}"));
            }
        }
        if acked > 0.0 {
            Ok(())
        } else {
            Err("no acknowledged row".to_owned())
        }
    })?;
    agent.process.stop().context("an orderly end").map(drop)
}
