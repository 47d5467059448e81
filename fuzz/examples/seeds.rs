//! Writes the seeds of every target, `fuzz/corpus/TARGET/NAME`: `cargo run --example seeds` in this folder.

#[path = "seeds/dns.rs"]
mod dns;
#[path = "../../point/tests/otlp/generate.rs"]
mod generate;
#[path = "seeds/http.rs"]
mod http;
#[path = "seeds/kernel.rs"]
mod kernel;
#[path = "../../otel-receiver/tests/stories/support/samples.rs"]
mod samples;
#[path = "seeds/script.rs"]
mod script;

use std::{fs, io::Write as _, path::Path};

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use prost::Message as _;
use weir_point::otlp::Signal;
use weir_proto::flow::v1::{
    AgentMessage, AgentStatus, Counter, Direction, DirectionSource, Dnsflow, DomainSource,
    FlowBatch, FlowEvent, Hook, HttpSpan, Httpflow, Latency, Netflow, Transport,
    agent_message::Message, flow_event::Data,
};

/// In the order of the bytes that choose them.
const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

fn main() {
    otlp();
    body();
    page();
    dns::dns();
    http::http1();
    http::http2();
    kernel::netlink();
    kernel::btf();
    intake();
    config();
    disk_queue();
    script::script();
}

fn seed(target: &str, name: &str, parts: &[&[u8]]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), parts.concat()).expect("a file");
}

fn repository(path: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read(root.join(path)).expect("a file of the repository")
}

/// A request at random, but none too large.
fn random(signal: Signal, seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    loop {
        let request = match signal {
            Signal::Traces => generate::traces(&mut rng).encode_to_vec(),
            Signal::Metrics => generate::metrics(&mut rng).encode_to_vec(),
            Signal::Logs => generate::logs(&mut rng).encode_to_vec(),
        };
        if (100..1500).contains(&request.len()) {
            return request;
        }
    }
}

fn otlp() {
    for (choice, signal) in SIGNALS.into_iter().enumerate() {
        let name = signal.name();
        let choice = [choice as u8];
        seed(
            "otlp_check",
            &format!("{name}-full"),
            &[&choice, &samples::request_of(signal)],
        );
        for number in 1..4 {
            let request = random(signal, number);
            seed(
                "otlp_check",
                &format!("{name}-{number}"),
                &[&choice, &request],
            );
        }
        let sample = repository(&format!("point/tests/otlp/samples/node-{name}.bin"));
        seed("otlp_check", &format!("{name}-sdk"), &[&choice, &sample]);
        let json = match signal {
            Signal::Traces => serde_json::to_vec(&samples::traces(1)),
            Signal::Metrics => serde_json::to_vec(&samples::metrics()),
            Signal::Logs => serde_json::to_vec(&samples::logs()),
        };
        seed(
            "otlp_json",
            &format!("{name}-full"),
            &[&choice, &json.expect("JSON")],
        );
    }
    let odd = r#"{"resourceLogs":[null,{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1","severityNumber":"SEVERITY_NUMBER_INFO","body":{"stringValue":"\ud83d\ude00"},"traceId":"00","flags":1e2,"new":[{}]}]}]}]}"#;
    seed("otlp_json", "logs-odd", &[&[2], odd.as_bytes()]);
}

fn body() {
    let text = b"{\"resourceLogs\":[{\"scopeLogs\":[]},{\"scopeLogs\":[]}]}".repeat(3);
    let level = Compression::default();
    let gzip = |text: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), level);
        encoder
            .write_all(text)
            .and_then(|()| encoder.finish())
            .expect("gzip")
    };
    let mut zlib = ZlibEncoder::new(Vec::new(), level);
    let zlib = zlib
        .write_all(&text)
        .and_then(|()| zlib.finish())
        .expect("zlib");
    let zstd = |text: &[u8]| zstd::encode_all(text, 3).expect("zstd");
    seed("otlp_body", "gzip", &[&[0, 16], &gzip(&text)]);
    seed(
        "otlp_body",
        "gzip-twice",
        &[&[0, 4], &gzip(&text), &gzip(b"more")],
    );
    seed(
        "otlp_body",
        "gzip-bomb",
        &[&[0, 255], &gzip(&vec![0; 1 << 20])],
    );
    seed("otlp_body", "deflate", &[&[1, 16], &zlib]);
    seed("otlp_body", "zstd", &[&[2, 16], &zstd(&text)]);
    seed(
        "otlp_body",
        "zstd-twice",
        &[&[2, 4], &zstd(&text), &zstd(b"more")],
    );
    seed(
        "otlp_body",
        "zstd-bomb",
        &[&[2, 255], &zstd(&vec![0; 1 << 20])],
    );
    for choice in 4..8 {
        seed(
            "otlp_body",
            &format!("plain-{choice}"),
            &[&[choice, 3], &text],
        );
    }
}

fn page() {
    let length = |request: &[u8]| (request.len() as u16).to_be_bytes();
    let full = samples::request_of(Signal::Metrics);
    seed(
        "prometheus_page",
        "metrics-full",
        &[&[100], &length(&full), &full],
    );
    for number in 1..5 {
        let request = random(Signal::Metrics, number);
        let other = random(Signal::Metrics, number + 10);
        let name = format!("metrics-{number}");
        seed(
            "prometheus_page",
            &name,
            &[&[2 * number as u8], &length(&request), &request, &other],
        );
    }
    let sample = repository("point/tests/otlp/samples/node-metrics.bin");
    seed(
        "prometheus_page",
        "metrics-sdk",
        &[&[40], &length(&sample), &sample],
    );
    let spans = samples::traces(3).encode_to_vec();
    let request = random(Signal::Traces, 1);
    seed(
        "prometheus_page",
        "spans",
        &[&[7], &length(&spans), &spans, &request],
    );
}

fn intake() {
    let row = FlowEvent {
        time_unix_nano: 1_760_000_000_000_000_000,
        period_nano: 10_000_000_000,
        src_ip: vec![10, 0, 0, 1],
        dst_ip: vec![10, 0, 0, 2],
        dst_port: Some(443),
        dst_nat_ip: vec![10, 0, 0, 3],
        dst_nat_port: Some(8443),
        transport: Transport::Tcp.into(),
        direction: Direction::Outgoing.into(),
        direction_source: DirectionSource::Connect.into(),
        pid: 7,
        process_name: "curl \"\\".to_owned(),
        data: Some(Data::Netflow(Netflow {
            bytes_read: 9,
            bytes_written: 8,
            rtt_us: Some(7.5),
            tcp_failed: 1,
            reason: "refused".to_owned(),
            ..Netflow::default()
        })),
        ..FlowEvent::default()
    };
    let datagrams = FlowEvent {
        src_ip: vec![0xfd; 16],
        dst_ip: vec![0xfe; 16],
        transport: Transport::Udp.into(),
        ..row.clone()
    };
    let requests = FlowBatch {
        sequence: 2,
        events: requests(&row),
    };
    let status = AgentStatus {
        counters: vec![Counter {
            name: "rows".to_owned(),
            cause: "ring_full".to_owned(),
            value: 3,
        }],
        hooks: vec![Hook {
            event: "state".to_owned(),
            hook: "auto".to_owned(),
            reason: "a \"b\"\n".to_owned(),
        }],
    };
    let batch = FlowBatch {
        sequence: 1,
        events: vec![row.clone(), datagrams],
    };
    for (name, message) in [
        ("batch", Message::Batch(batch)),
        ("requests", Message::Batch(requests)),
        ("status", Message::Status(status)),
    ] {
        let message = AgentMessage {
            message: Some(message),
        };
        seed("intake", name, &[&message.encode_to_vec()]);
    }
}

/// DNS queries, HTTP requests and a span of one.
fn requests(row: &FlowEvent) -> Vec<FlowEvent> {
    let mut latency = Latency::default();
    latency.add(3_000_000);
    let queries = Dnsflow {
        query_name: "www.example.com".to_owned(),
        query_type: "AAAA".to_owned(),
        rcode: 3,
        count: 2,
        latency: Some(latency.clone()),
    };
    let unanswered = Dnsflow {
        rcode: -1,
        latency: None,
        ..queries.clone()
    };
    let request = Httpflow {
        method: "GET".to_owned(),
        path: "/user/7".to_owned(),
        route: "/user/*".to_owned(),
        status_code: 200,
        http_version: "2".to_owned(),
        grpc_status: Some(0),
        count: 1,
        latency: Some(latency),
        bytes_read: 500,
        bytes_written: 70,
        ..Httpflow::default()
    };
    let broken = Httpflow {
        status_code: 0,
        reason: "reset".to_owned(),
        latency: None,
        ..request.clone()
    };
    let span = HttpSpan {
        trace_id: vec![0xff; 16],
        span_id: vec![2; 8],
        parent_span_id: vec![3; 8],
        request: Some(request.clone()),
        sampling_factor: 10.0,
    };
    [
        Data::Dnsflow(queries),
        Data::Dnsflow(unanswered),
        Data::Httpflow(request),
        Data::Httpflow(broken),
        Data::HttpSpan(span),
    ]
    .map(|data| FlowEvent {
        data: Some(data),
        dst_domain: "www.example.com".to_owned(),
        dst_domain_source: DomainSource::Dns.into(),
        ..row.clone()
    })
    .to_vec()
}

fn config() {
    seed(
        "config",
        "gateway",
        &[&[0], &repository("docker/config/gateway.yaml")],
    );
    seed(
        "config",
        "agent",
        &[&[1], &repository("docker/config/agent.yaml")],
    );
    let exporters = "otlp_exporters:\n  a:\n    endpoint: http://c:4317\n    protocol: grpc\n    signals: [traces]\n    flows: {as: [metrics, logs]}\n    queue: {folder: /q, size: 1MiB}\n    headers: {x: 'y'}\nspan_metrics: {enabled: true, buckets: [1ms, 2s], dimensions: [http.route]}\n$WEIR_GATEWAY_FLOW_LISTEN=[::1]:1\n";
    seed("config", "exporters", &[&[0], exporters.as_bytes()]);
    let odd = "a: &b [*b, !t {c: |-\n  x\n }]\n? [k]\n: \"\\u263a\"\n---\n";
    seed("config", "odd", &[&[0], odd.as_bytes()]);
}

fn disk_queue() {
    // At most 255 bytes at a time, no position, one segment of two records.
    seed(
        "disk_queue",
        "records",
        &[
            &[255],
            &255_u64.to_be_bytes(),
            &[0, 0, 1, 2, 5, 1],
            b"first",
            &[6, 2],
            b"second",
        ],
    );
    // A position whose head is in segment 1 behind the first record, with that outstanding; a damaged record; noise.
    let position = [2, 1, 1, 29, 1, 0, 29];
    seed(
        "disk_queue",
        "position",
        &[
            &[20],
            &position,
            &[0, 1, 3, 5, 1],
            b"first",
            &[32 | 6, 2],
            b"second",
            &[0xc4],
            b"rest",
        ],
    );
    seed(
        "disk_queue",
        "segments",
        &[
            &[0, 0, 2, 1, 1, 3, 9],
            b"one",
            &[2, 1, 3, 9],
            b"two",
            &[3, 1, 3, 9],
            b"six",
        ],
    );
}
