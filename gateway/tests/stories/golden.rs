//! What the same flows look like outside under each profile, word for word. To write the files
//! again after a change that is wanted: `WEIR_WRITE_GOLDEN=1 cargo test -p weir-gateway golden`.

use std::{env, fs, path::PathBuf};

use weir_proto::flow::v1::{Direction, DomainSource, FlowEvent, Transport};

use crate::support::{
    Agent, DataPoint, PERIOD_END, Sink, dnsflow, eventually, flow, gateway, get, httpflow, netflow,
    query, request, text, with,
};

/// A TCP flow with everything, one of UDP, one of IPv6 that came in with a merged port,
/// connects that failed, DNS queries and HTTP requests of both sides with an answer and without.
fn flows() -> Vec<FlowEvent> {
    let full = netflow(flow(443), |netflow| {
        netflow.retransmits = 3;
        netflow.rtt_us = Some(1500.0);
        netflow.rtt_var_us = Some(250.5);
        netflow.connect_latency_us = Some(800.0);
        netflow.connect_latency_max_us = Some(900.0);
        netflow.tcp_closed = 2;
        netflow.tcp_reset = 1;
    });
    let full = with(full, |event| event.container_id = "c0ffee".to_owned());
    let udp = with(flow(53), |event| {
        event.transport = Transport::Udp.into();
        event.src_port = Some(40_000);
    });
    let udp = netflow(udp, |netflow| {
        netflow.tcp_established = 0;
        netflow.connections = 0;
    });
    let incoming = with(flow(0), |event| {
        event.src_ip = vec![0; 16];
        event.src_ip[15] = 1;
        event.dst_ip = event.src_ip.clone();
        event.src_port = Some(8080);
        event.dst_port = None;
        event.direction = Direction::Incoming.into();
    });
    let failed = netflow(flow(81), |netflow| {
        netflow.tcp_failed = 7;
        netflow.reason = "refused".to_owned();
    });
    [vec![full, udp, incoming, failed], requests()].concat()
}

fn requests() -> Vec<FlowEvent> {
    let asked = with(query("www.example.com", &[200_000, 3_000_000]), |event| {
        event.dst_nat_ip = vec![10, 96, 0, 10];
        event.dst_nat_port = Some(5353);
    });
    let unanswered = dnsflow(query("", &[]), |dnsflow| {
        dnsflow.rcode = -1;
        dnsflow.count = 2;
        dnsflow.latency = None;
    });
    let incoming = |event| {
        with(event, |event| {
            event.src_port = event.dst_port.take();
            event.direction = Direction::Incoming.into();
            event.process_name = "server".to_owned();
        })
    };
    let resolved = incoming(dnsflow(query("nowhere.example", &[90_000]), |dnsflow| {
        dnsflow.rcode = 3;
    }));
    let called = with(request("/user/7", &[1_500_000, 11_000_000_000]), |event| {
        event.dst_domain = "shop.example".to_owned();
        event.dst_domain_source = DomainSource::Http.into();
    });
    let called = httpflow(called, |httpflow| {
        httpflow.route = "/user/*".to_owned();
        httpflow.tls = true;
        httpflow.http_version = "2".to_owned();
        httpflow.grpc_status = Some(0);
        httpflow.truncated = true;
    });
    let broken = httpflow(request("/slow", &[]), |httpflow| {
        httpflow.status_code = 0;
        httpflow.reason = "timeout".to_owned();
        httpflow.count = 3;
        httpflow.latency = None;
    });
    let served = incoming(request("/", &[40_000, 50_000]));
    vec![asked, unanswered, resolved, called, broken, served]
}

/// Fails unless `lines`, sorted, are what the file has.
fn assert_golden(file: &str, mut lines: Vec<String>) {
    lines.sort();
    let got = lines.join("\n") + "\n";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/stories/golden")
        .join(file);
    if env::var_os("WEIR_WRITE_GOLDEN").is_some() {
        fs::write(&path, &got).expect("a folder");
    }
    let wanted = fs::read_to_string(&path).expect("a file");
    assert_eq!(got, wanted, "{}", path.display());
}

fn number(point: &DataPoint) -> String {
    let DataPoint {
        metric,
        unit,
        resource,
        attributes,
        start,
        time,
        value,
        distribution,
        delta,
    } = point;
    let kind = if *delta { "delta" } else { "gauge" };
    let start = start.checked_sub(PERIOD_END - 10_000_000_000);
    assert_eq!(*time, PERIOD_END);
    assert_eq!(start, delta.then_some(0), "{metric}");
    let values = distribution.as_ref().map_or_else(String::new, |values| {
        let (sum, max, buckets) = (values.sum, values.max, &values.buckets);
        format!(" values, sum {sum}, max {max}, {buckets:?}")
    });
    format!("{metric} [{unit}] {kind} {resource:?} {attributes:?} = {value}{values}")
}

/// Places of flows over the port 443 and of a server's clients.
const PLACES: &str = r#"
if .tags.dst_port == "443" {
    .tags.src_country = "Germany"
    .tags.src_province = "Hesse"
    .tags.src_city = "Frankfurt am Main"
    .tags.src_lat = 50.11
    .tags.src_lon = 8.68
}
if .tags.dst_port == "443" || .tags.process_name == "server" {
    .tags.dst_country = "China"
    .tags.dst_province = "Guangdong"
    .tags.dst_city = "Guangzhou"
    .tags.dst_lat = 23.13
    .tags.dst_lon = "about 113"
}
"#;

async fn shown_under(profile: &str) {
    let sink = Sink::start().await;
    let scripts = tempfile::tempdir().expect("a folder");
    fs::create_dir(scripts.path().join("network")).expect("a folder");
    fs::write(scripts.path().join("network/default.vrl"), PLACES).expect("a file");
    let gateway = gateway(&format!(
        "scripts: {{folder: '{}'}}
prometheus: {{profile: {profile}}}
otlp_exporters: {{main: {{endpoint: 'http://{}', flows: {{as: [metrics, logs, spans], profile: {profile}, gather: 0s}}}}}}",
        scripts.path().display(),
        sink.address
    ))
    .await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let flows = flows();
    let rows = flows.len();
    agent.deliver(1, flows).await;
    eventually!(sink.spans().len() == rows && sink.logs().len() == rows);
    eventually!(!sink.data_points().is_empty());

    let numbers = sink.data_points().iter().map(number).collect();
    assert_golden(&format!("{profile}.metrics.txt"), numbers);
    let logs = sink.logs().into_iter().map(|(resource, log)| {
        let (event, attributes) = (log.event_name, text(&log.attributes));
        format!("{event} {resource:?} {attributes:#?}")
    });
    assert_golden(&format!("{profile}.logs.txt"), logs.collect());
    let spans = sink.spans().into_iter().map(|(resource, span)| {
        let (name, kind, attributes) = (&span.name, span.kind(), text(&span.attributes));
        format!("{name} {kind:?} {resource:?} {attributes:#?}")
    });
    assert_golden(&format!("{profile}.spans.txt"), spans.collect());
    let (_, page) = get(gateway.prometheus, "/metrics").await;
    let flows = page.lines().filter(|line| {
        let line = line
            .trim_start_matches("# HELP ")
            .trim_start_matches("# TYPE ");
        !line.starts_with("weir_gateway_") && !line.starts_with("weir_agent_")
    });
    let lines = flows.map(str::to_owned).filter(|line| !line.is_empty());
    assert_golden(&format!("{profile}.prometheus.txt"), lines.collect());
}

#[tokio::test]
async fn flows_carry_the_names_of_opentelemetry_under_semconv() {
    shown_under("semconv").await;
}

#[tokio::test]
async fn flows_carry_the_names_of_the_data_sets_under_native() {
    shown_under("native").await;
}
