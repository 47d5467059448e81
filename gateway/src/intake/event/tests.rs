use std::net::IpAddr;

use fastrand::Rng;
use prost::Message as _;
use weir_proto::flow::v1::{Dnsflow, FlowBatch, HttpSpan, Httpflow, Netflow};

use super::*;

fn octets(address: &str) -> Vec<u8> {
    match address.parse().expect("an address") {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn full() -> FlowEvent {
    FlowEvent {
        time_unix_nano: 1_700_000_010_000_000_000,
        period_nano: 10_000_000_000,
        src_ip: octets("10.0.0.5"),
        dst_ip: octets("93.184.216.34"),
        src_port: None,
        dst_port: Some(443),
        transport: Transport::Tcp.into(),
        direction: Direction::Outgoing.into(),
        direction_source: DirectionSource::Connect.into(),
        pid: 4242,
        process_name: "curl".to_owned(),
        container_id: "0123456789abcdef".repeat(4),
        dst_nat_ip: octets("10.0.0.9"),
        dst_nat_port: Some(8443),
        dst_domain: "example.com".to_owned(),
        dst_domain_source: DomainSource::Dns.into(),
        netns: 4_026_531_840,
        data: Some(Data::Netflow(Netflow {
            bytes_read: 1,
            bytes_written: 2,
            packets_read: 3,
            packets_written: 4,
            retransmits: 5,
            rtt_us: Some(6.5),
            rtt_var_us: Some(7.5),
            tcp_established: 8,
            tcp_closed: 9,
            tcp_failed: 10,
            reason: "refused".to_owned(),
            tcp_reset: 11,
            connect_latency_us: Some(12.5),
            connect_latency_max_us: Some(13.5),
            connections: 14,
        })),
    }
}

fn netflow(event: &mut FlowEvent) -> &mut Netflow {
    match &mut event.data {
        Some(Data::Netflow(netflow)) => netflow,
        _ => unreachable!("a full event has netflow data"),
    }
}

/// Times of these lengths in nanoseconds.
fn latency(times: &[u64]) -> Option<Latency> {
    let mut latency = Latency::default();
    times.iter().for_each(|time| latency.add(*time));
    Some(latency)
}

fn dns() -> FlowEvent {
    FlowEvent {
        dst_port: Some(53),
        transport: Transport::Udp.into(),
        data: Some(Data::Dnsflow(Dnsflow {
            query_name: "www.example.com".to_owned(),
            query_type: "AAAA".to_owned(),
            rcode: 3,
            count: 3,
            latency: latency(&[200_000, 200_001, 30_000_000_000]),
        })),
        ..full()
    }
}

fn dnsflow(event: &mut FlowEvent) -> &mut Dnsflow {
    match &mut event.data {
        Some(Data::Dnsflow(dnsflow)) => dnsflow,
        _ => unreachable!("an event with dnsflow data"),
    }
}

fn http() -> FlowEvent {
    FlowEvent {
        data: Some(Data::Httpflow(Httpflow {
            method: "GET".to_owned(),
            path: "/user/7/orders".to_owned(),
            route: "/user/*/orders".to_owned(),
            status_code: 200,
            http_version: "2".to_owned(),
            grpc_status: Some(14),
            truncated: true,
            tls: true,
            count: 2,
            latency: latency(&[1000, 2000]),
            bytes_read: 500,
            bytes_written: 70,
            ..Httpflow::default()
        })),
        ..full()
    }
}

fn httpflow(event: &mut FlowEvent) -> &mut Httpflow {
    match &mut event.data {
        Some(Data::Httpflow(httpflow)) => httpflow,
        _ => unreachable!("an event with httpflow data"),
    }
}

fn fields(point: &Point) -> Vec<String> {
    let fields = point.fields.iter();
    fields.map(|(k, v)| format!("{k}={v:?}")).collect()
}

/// A list of counts that are 0 but for these.
fn buckets(counts: &[(usize, i64)]) -> String {
    let mut all = vec![Value::Int(0); 17];
    for (place, count) in counts {
        all[*place] = Value::Int(*count);
    }
    format!("latency_buckets={:?}", Value::List(all))
}

fn convert(event: FlowEvent) -> Result<Point, Malformed> {
    point(event, &Text::new_static("node-1"))
}

fn tag(point: &Point, key: &str) -> Option<String> {
    point.tags.get(key).map(ToString::to_string)
}

#[test]
fn a_full_event_becomes_every_tag_and_field_of_the_contract() {
    let point = convert(full()).expect("a Point");
    assert_eq!(point.time, 1_700_000_010_000_000_000);
    assert_eq!(point.start, 1_700_000_000_000_000_000);
    let tags: Vec<String> = point.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        tags,
        [
            "container_id=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "direction=outgoing",
            "direction_source=connect",
            "dst_domain=example.com",
            "dst_domain_source=dns",
            "dst_ip=93.184.216.34",
            "dst_ip_type=other",
            "dst_nat_ip=10.0.0.9",
            "dst_nat_port=8443",
            "dst_port=443",
            "family=IPv4",
            "host=node-1",
            "netns=4026531840",
            "pid=4242",
            "process_name=curl",
            "reason=refused",
            "source=netflow",
            "src_ip=10.0.0.5",
            "src_ip_type=private",
            "src_port=*",
            "sub_source=N/A",
            "transport=tcp",
        ]
    );
    assert_eq!(
        fields(&point),
        [
            "bytes_read=Int(1)",
            "bytes_written=Int(2)",
            "connect_latency=Float(12.5)",
            "connect_latency_max=Float(13.5)",
            "connections=Int(14)",
            "packets_read=Int(3)",
            "packets_written=Int(4)",
            "retransmits=Int(5)",
            "rtt=Float(6.5)",
            "rtt_var=Float(7.5)",
            "tcp_closed=Int(9)",
            "tcp_established=Int(8)",
            "tcp_failed=Int(10)",
            "tcp_reset=Int(11)",
        ]
    );
    assert_eq!(
        point.tags.len(),
        TAGS + 1,
        "one allocation, with room for the reason"
    );
}

#[test]
fn dns_queries_have_their_name_type_and_times() {
    let point = convert(dns()).expect("a Point");
    assert_eq!(point.name, "dnsflow");
    for (key, value) in [
        ("query_name", "www.example.com"),
        ("query_type", "AAAA"),
        ("source", "dnsflow"),
        ("transport", "udp"),
        ("dst_port", "53"),
    ] {
        assert_eq!(tag(&point, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(
        fields(&point),
        [
            "count=Int(3)".to_owned(),
            "latency=Float(10000133333.666666)".to_owned(),
            buckets(&[(1, 2), (16, 1)]),
            "latency_max=Int(30000000000)".to_owned(),
            "latency_sum=Int(30000400001)".to_owned(),
            "rcode=Int(3)".to_owned(),
        ]
    );
    let mut silent = dns();
    *dnsflow(&mut silent) = Dnsflow {
        query_name: String::new(),
        rcode: -1,
        latency: None,
        ..dnsflow(&mut silent).clone()
    };
    let silent = convert(silent).expect("a Point");
    assert_eq!(tag(&silent, "query_name").as_deref(), Some("."), "the root");
    assert_eq!(fields(&silent), ["count=Int(3)", "rcode=Int(-1)"]);
}

#[test]
fn the_longest_name_there_can_be_is_taken() {
    let escaped = "\\000".repeat(253);
    let mut event = dns();
    event.dst_domain.clone_from(&escaped);
    dnsflow(&mut event).query_name.clone_from(&escaped);
    let point = convert(event).expect("a Point");
    for key in ["dst_domain", "query_name"] {
        assert_eq!(tag(&point, key).as_deref(), Some(&*escaped), "{key}");
    }
}

#[test]
fn http_requests_have_their_route_status_and_times() {
    let point = convert(http()).expect("a Point");
    assert_eq!(point.name, "httpflow");
    for (key, value) in [
        ("method", Some("GET")),
        ("path", Some("/user/7/orders")),
        ("route", Some("/user/*/orders")),
        ("http_version", Some("2")),
        ("tls", Some("true")),
        ("source", Some("httpflow")),
        ("reason", None),
    ] {
        assert_eq!(tag(&point, key).as_deref(), value, "{key}");
    }
    assert_eq!(
        fields(&point),
        [
            "bytes_read=Int(500)".to_owned(),
            "bytes_written=Int(70)".to_owned(),
            "count=Int(2)".to_owned(),
            "grpc_status=Int(14)".to_owned(),
            "latency=Float(1500.0)".to_owned(),
            buckets(&[(0, 2)]),
            "latency_max=Int(2000)".to_owned(),
            "latency_sum=Int(3000)".to_owned(),
            "status_code=Int(200)".to_owned(),
            "truncated=Bool(true)".to_owned(),
        ]
    );
    for (said, wanted) in [("closed", "closed"), ("", "other")] {
        let mut event = http();
        *httpflow(&mut event) = Httpflow {
            status_code: 0,
            latency: None,
            reason: said.to_owned(),
            tls: false,
            ..httpflow(&mut event).clone()
        };
        let point = convert(event).expect("a Point");
        assert_eq!(tag(&point, "reason").as_deref(), Some(wanted));
        assert_eq!(tag(&point, "tls").as_deref(), Some("false"));
        assert!(point.fields.get("latency").is_none());
    }
}

#[test]
fn what_is_not_known_is_absent() {
    let mut event = full();
    event.pid = 0;
    event.netns = 0;
    event.process_name.clear();
    event.container_id.clear();
    event.dst_domain.clear();
    event.direction = Direction::Unspecified.into();
    *netflow(&mut event) = Netflow {
        rtt_us: None,
        rtt_var_us: None,
        connect_latency_us: None,
        connect_latency_max_us: None,
        tcp_failed: 0,
        ..netflow(&mut event).clone()
    };
    let point = convert(event).expect("a Point");
    for key in [
        "pid",
        "netns",
        "process_name",
        "container_id",
        "direction",
        "direction_source",
        "dst_domain",
        "dst_domain_source",
        "reason",
    ] {
        assert_eq!(tag(&point, key), None, "{key}");
    }
    for key in ["rtt", "rtt_var", "connect_latency", "connect_latency_max"] {
        assert_eq!(point.fields.get(key), None, "{key}");
    }
}

#[test]
fn a_failed_connect_without_a_reason_is_still_counted_by_reason() {
    let mut event = full();
    netflow(&mut event).reason.clear();
    let point = convert(event).expect("a Point");
    assert_eq!(tag(&point, "reason").as_deref(), Some("other"));
}

#[test]
fn a_mapped_address_is_written_as_ipv4() {
    let mut event = full();
    event.src_ip = octets("::ffff:10.0.0.5");
    event.dst_ip = octets("::ffff:127.0.0.1");
    let point = convert(event).expect("a Point");
    assert_eq!(tag(&point, "src_ip").as_deref(), Some("10.0.0.5"));
    assert_eq!(tag(&point, "dst_ip_type").as_deref(), Some("loopback"));
    assert_eq!(tag(&point, "family").as_deref(), Some("IPv4"));
}

#[test]
fn datagrams_have_no_connections() {
    let mut event = full();
    event.transport = Transport::Udp.into();
    let point = convert(event).expect("a Point");
    assert_eq!(tag(&point, "transport").as_deref(), Some("udp"));
    let fields: Vec<&str> = point.fields.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        fields,
        [
            "bytes_read",
            "bytes_written",
            "packets_read",
            "packets_written"
        ]
    );
}

#[test]
fn what_cannot_be_a_flow_is_refused_by_its_cause() {
    let change = |change: fn(&mut FlowEvent)| {
        let mut event = full();
        change(&mut event);
        convert(event).err()
    };
    assert_eq!(change(|_| {}), None);
    for (found, wanted) in [
        (change(|e| e.src_ip = vec![1, 2, 3]), Malformed::Address),
        (change(|e| e.dst_ip.clear()), Malformed::Address),
        (
            change(|e| e.dst_ip = octets("2001:db8::1")),
            Malformed::Address,
        ),
        (change(|e| e.src_port = Some(65_536)), Malformed::Port),
        (change(|e| e.dst_port = Some(u32::MAX)), Malformed::Port),
        (change(|e| e.transport = 0), Malformed::Transport),
        (change(|e| e.transport = 77), Malformed::Transport),
        (change(|e| e.time_unix_nano = 0), Malformed::Time),
        (change(|e| e.time_unix_nano = u64::MAX), Malformed::Time),
        (change(|e| e.period_nano = u64::MAX), Malformed::Time),
        (
            change(|e| e.process_name = "x".repeat(257)),
            Malformed::Text,
        ),
        (
            change(|e| e.container_id = "x".repeat(257)),
            Malformed::Text,
        ),
        (
            change(|e| netflow(e).reason = "x".repeat(257)),
            Malformed::Text,
        ),
        (
            change(|e| netflow(e).bytes_read = u64::MAX),
            Malformed::Number,
        ),
        (
            change(|e| netflow(e).rtt_us = Some(f64::NAN)),
            Malformed::Number,
        ),
        (
            change(|e| netflow(e).rtt_us = Some(-1.0)),
            Malformed::Number,
        ),
        (
            change(|e| netflow(e).rtt_var_us = Some(f64::INFINITY)),
            Malformed::Number,
        ),
        (change(|e| e.dst_domain = "x".repeat(1013)), Malformed::Text),
        (change(|e| e.data = None), Malformed::Data),
        (
            change(|e| e.data = Some(Data::HttpSpan(HttpSpan::default()))),
            Malformed::Data,
        ),
    ] {
        assert_eq!(found, Some(wanted));
    }
}

#[test]
fn requests_that_cannot_be_are_refused_by_their_cause() {
    let dns = |change: fn(&mut Dnsflow)| {
        let mut event = dns();
        change(dnsflow(&mut event));
        convert(event).err()
    };
    let http = |change: fn(&mut Httpflow)| {
        let mut event = http();
        change(httpflow(&mut event));
        convert(event).err()
    };
    fn of(latency: &mut Option<Latency>) -> &mut Latency {
        latency.get_or_insert_default()
    }
    assert_eq!((dns(|_| {}), http(|_| {})), (None, None));
    for (found, wanted) in [
        (dns(|d| d.rcode = -2), Malformed::Number),
        (dns(|d| d.rcode = 4096), Malformed::Number),
        (dns(|d| d.rcode = -1), Malformed::Latency),
        (dns(|d| d.query_name = "x".repeat(1013)), Malformed::Text),
        (dns(|d| d.query_type = "x".repeat(257)), Malformed::Text),
        (dns(|d| d.count = u64::MAX), Malformed::Number),
        (dns(|d| d.count = 2), Malformed::Latency),
        (
            dns(|d| of(&mut d.latency).buckets.push(0)),
            Malformed::Latency,
        ),
        (
            dns(|d| of(&mut d.latency).buckets.truncate(16)),
            Malformed::Latency,
        ),
        (
            dns(|d| of(&mut d.latency).buckets.fill(0)),
            Malformed::Latency,
        ),
        (
            dns(|d| of(&mut d.latency).buckets.fill(u64::MAX)),
            Malformed::Latency,
        ),
        (dns(|d| of(&mut d.latency).sum_nano = 1), Malformed::Latency),
        (dns(|d| of(&mut d.latency).max_nano = 1), Malformed::Latency),
        (http(|h| h.status_code = 1000), Malformed::Number),
        (http(|h| h.status_code = 0), Malformed::Latency),
        (http(|h| h.method = "x".repeat(257)), Malformed::Text),
        (http(|h| h.path = "x".repeat(257)), Malformed::Text),
        (http(|h| h.route = "x".repeat(257)), Malformed::Text),
        (http(|h| h.http_version = "x".repeat(257)), Malformed::Text),
        (http(|h| h.bytes_read = u64::MAX), Malformed::Number),
        (http(|h| h.count = 1), Malformed::Latency),
    ] {
        assert_eq!(found, Some(wanted));
    }
}

/// Bytes that decode more often than random ones: a batch with some bytes changed,
/// cut, doubled or inserted.
fn mutate(seed: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(..=bytes.len());
        match rng.u8(..5) {
            0 if at < bytes.len() => bytes[at] = rng.u8(..),
            1 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, rng.u8(..)),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}

#[test]
fn no_bytes_make_the_conversion_panic() {
    let mut rng = Rng::with_seed(20_26);
    let seed = FlowBatch {
        sequence: 1,
        events: vec![full(), dns(), http()],
    }
    .encode_to_vec();
    let (mut decoded, mut converted) = (0, 0);
    for round in 0..30_000 {
        let bytes = if round % 4 == 0 {
            (0..rng.usize(..300)).map(|_| rng.u8(..)).collect()
        } else {
            mutate(&seed, &mut rng)
        };
        let Ok(batch) = FlowBatch::decode(bytes.as_slice()) else {
            continue;
        };
        decoded += 1;
        converted += batch
            .events
            .into_iter()
            .filter_map(|event| convert(event).ok())
            .count();
    }
    assert!(decoded > 1000, "the bytes reach the conversion: {decoded}");
    assert!(converted > 1000, "and pass it: {converted}");
}
