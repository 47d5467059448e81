use std::net::IpAddr;

use fastrand::Rng;
use prost::Message as _;
use weir_proto::flow::v1::FlowBatch;

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
        ..FlowEvent::default()
    }
}

fn netflow(event: &mut FlowEvent) -> &mut Netflow {
    match &mut event.data {
        Some(Data::Netflow(netflow)) => netflow,
        _ => unreachable!("a full event has netflow data"),
    }
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
    let fields: Vec<String> = point
        .fields
        .iter()
        .map(|(k, v)| format!("{k}={v:?}"))
        .collect();
    assert_eq!(
        fields,
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
        (point.tags.len(), point.fields.len()),
        (TAGS, FIELDS),
        "one allocation each"
    );
}

#[test]
fn what_is_not_known_is_absent() {
    let mut event = full();
    event.pid = 0;
    event.netns = 0;
    event.process_name.clear();
    event.container_id.clear();
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
        (change(|e| e.data = None), Malformed::Data),
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
        events: vec![full(); 3],
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
