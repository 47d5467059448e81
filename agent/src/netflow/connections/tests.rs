//! Stories about records that become rows.

use std::net::{Ipv4Addr, Ipv6Addr};

use weir_ebpf_common::netflow::Facts;
use weir_proto::flow::v1::{Counter, Netflow, flow_event::Data};
use weir_runtime::config::Document;

use super::*;
use crate::drop::{DropRules, Rules, read};

const PERIOD: Period = Period {
    end_unix_ns: 1_000_000_000,
    length_ns: 1_000_000_000,
};

fn words(octets: [u8; 4]) -> [u32; 4] {
    [u32::from_ne_bytes(octets), 0, 0, 0]
}

/// A client's connection to 10.0.0.2:80.
fn client(kind: u8, bytes: u64) -> TcpRecord {
    TcpRecord {
        facts: Facts {
            connect_ns: 1_000_000,
            established_ns: 3_000_000,
            name: [0; 5],
            cgroup: 0,
            pid: 0,
            direction: direction::CONNECT,
            owner: owner::CALLER,
            adopted: 0,
            closed: 0,
        },
        socket: 1,
        bytes_sent: bytes,
        bytes_received: bytes * 2,
        local: words([10, 0, 0, 1]),
        remote: words([10, 0, 0, 2]),
        segments_in: 3,
        segments_out: 4,
        retransmits: 0,
        rtt_us: 50,
        rtt_var_us: 10,
        netns: 1,
        local_port: 40_000,
        remote_port: 80,
        family: 2,
        error: 0,
        kind,
        state: state::LAST_ACK as u8,
        reserved: [0; 2],
        inode: 0,
    }
}

fn netflow(event: &FlowEvent) -> Netflow {
    match &event.data {
        Some(Data::Netflow(netflow)) => netflow.clone(),
        _ => Netflow::default(),
    }
}

/// One period: a pass that finds `live`, then the ring with `ended`.
fn period(
    connections: &mut Connections,
    live: &[TcpRecord],
    ended: &[TcpRecord],
) -> Vec<FlowEvent> {
    connections.begin_pass();
    live.iter()
        .chain(ended)
        .for_each(|record| connections.record(record));
    connections.end_pass();
    connections.take(PERIOD)
}

fn total(events: &[FlowEvent], of: impl Fn(&Netflow) -> u64) -> u64 {
    events.iter().map(|event| of(&netflow(event))).sum()
}

#[test]
fn periods_of_a_connection_add_up_to_its_totals() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..500 {
        let mut connections = Connections::new(10, 32_768, false);
        let (mut bytes, mut seen, mut events) = (0, 0, Vec::new());
        for _ in 0..random.u32(0..5) {
            bytes += random.u64(0..1000);
            // A total read in the middle of an update is behind the last one.
            let read = if random.bool() {
                bytes
            } else {
                bytes.saturating_sub(random.u64(0..2000))
            };
            seen += 1;
            events.extend(period(&mut connections, &[client(kind::LIVE, read)], &[]));
        }
        bytes += random.u64(0..1000);
        events.extend(period(
            &mut connections,
            &[],
            &[client(kind::CLOSED, bytes)],
        ));

        assert_eq!(total(&events, |row| row.bytes_written), bytes);
        assert_eq!(total(&events, |row| row.bytes_read), bytes * 2);
        assert_eq!(total(&events, |row| row.tcp_established), 1);
        assert_eq!(total(&events, |row| row.tcp_closed), 1);
        assert_eq!(total(&events, |row| row.connections), seen);
        assert_eq!(total(&events, |row| row.packets_read), 3);
        assert_eq!(connections.len(), 0);
    }
}

#[test]
fn a_short_connection_is_one_row_with_its_connect_latency() {
    let mut connections = Connections::new(10, 32_768, false);
    let events = period(&mut connections, &[], &[client(kind::CLOSED, 7)]);
    assert_eq!(events.len(), 1);
    let row = netflow(&events[0]);
    assert_eq!(
        (row.tcp_established, row.tcp_closed, row.connections),
        (1, 1, 0)
    );
    assert_eq!(
        (row.connect_latency_us, row.connect_latency_max_us),
        (Some(2000.0), Some(2000.0))
    );
    assert_eq!((events[0].src_port, events[0].dst_port), (None, Some(80)));
}

#[test]
fn the_last_row_of_a_flow_says_that_nothing_is_live() {
    let mut connections = Connections::new(10, 32_768, false);
    let first = period(&mut connections, &[client(kind::LIVE, 1)], &[]);
    assert_eq!(netflow(&first[0]).connections, 1);
    // The owner is now known better, so the connection moves to another row: the old one must not stay at 1.
    let mut moved = client(kind::LIVE, 1);
    moved.facts.name[0] = u64::from_ne_bytes(*b"worker\0\0");
    let mut second = period(&mut connections, &[moved], &[]);
    second.sort_by(|a, b| a.process_name.cmp(&b.process_name));
    assert_eq!(second.len(), 2);
    assert_eq!(
        (
            netflow(&second[0]).connections,
            second[1].process_name.as_str()
        ),
        (0, "worker")
    );
    assert_eq!(
        total(&second, |row| row.bytes_written),
        0,
        "nothing is counted again"
    );
    assert_eq!(period(&mut connections, &[moved], &[]).len(), 1);
}

#[test]
fn ports_used_again_are_another_connection_even_if_the_old_end_comes_late() {
    let mut connections = Connections::new(10, 32_768, false);
    let mut events = period(&mut connections, &[client(kind::LIVE, 100)], &[]);
    let mut next = client(kind::LIVE, 5);
    next.facts.established_ns = 9_000_000;
    // The pass finds the new one before the end of the old one is read from the ring.
    events.extend(period(
        &mut connections,
        &[next],
        &[client(kind::CLOSED, 120)],
    ));
    next.kind = kind::CLOSED;
    events.extend(period(&mut connections, &[], &[next]));
    assert_eq!(total(&events, |row| row.bytes_written), 125);
    assert_eq!(total(&events, |row| row.tcp_established), 2);
    assert_eq!(total(&events, |row| row.tcp_closed), 2);
}

#[test]
fn a_connection_whose_end_was_lost_is_not_live_for_ever_and_is_counted() {
    let mut connections = Connections::new(10, 32_768, false);
    period(&mut connections, &[client(kind::LIVE, 1)], &[]);
    period(&mut connections, &[], &[]);
    assert_eq!(
        (connections.len(), connections.tally.end_unseen),
        (1, 0),
        "its end may be on the way"
    );
    period(&mut connections, &[], &[]);
    assert_eq!((connections.len(), connections.tally.end_unseen), (0, 1));
}

#[test]
fn a_connection_without_room_is_reported_whole_at_its_end() {
    let mut connections = Connections::new(0, 32_768, false);
    let mut events = period(&mut connections, &[client(kind::LIVE, 50)], &[]);
    assert_eq!(total(&events, |row| row.bytes_written), 0);
    events.extend(period(&mut connections, &[], &[client(kind::CLOSED, 80)]));
    assert_eq!(total(&events, |row| row.bytes_written), 80);
    assert_eq!(total(&events, |row| row.tcp_established), 1);
}

#[test]
fn an_adopted_connection_without_room_is_counted_as_lost_and_never_reported_wrong() {
    let mut connections = Connections::new(0, 32_768, false);
    let mut old = client(kind::ADOPTED, 1_000);
    old.facts.adopted = 1;
    connections.record(&old);
    connections.end_owners();
    old.kind = kind::CLOSED;
    assert!(period(&mut connections, &[], &[old]).is_empty());
    assert_eq!(connections.tally.table_full, 1);
}

#[test]
fn the_direction_of_an_older_connection_comes_from_the_listeners_else_from_the_ports() {
    let mut old = client(kind::ADOPTED, 0);
    old.facts.adopted = 1;
    old.facts.direction = direction::UNKNOWN;
    for (listening, ports, direction, source) in [
        (
            true,
            (50_000, 40_000),
            Direction::Incoming,
            DirectionSource::Listen,
        ),
        (
            false,
            (50_000, 40_000),
            Direction::Outgoing,
            DirectionSource::Port,
        ),
        (
            false,
            (40_000, 50_000),
            Direction::Outgoing,
            DirectionSource::Port,
        ),
        (
            false,
            (443, 50_000),
            Direction::Incoming,
            DirectionSource::Port,
        ),
        (
            false,
            (50_000, 443),
            Direction::Outgoing,
            DirectionSource::Port,
        ),
    ] {
        (old.local_port, old.remote_port) = ports;
        let mut listener = old;
        listener.kind = kind::LISTENING;
        let mut connections = Connections::new(10, 32_768, false);
        connections.begin_owners();
        connections.record(&old);
        if listening {
            connections.record(&listener);
        }
        connections.end_owners();
        old.kind = kind::LIVE;
        let events = period(&mut connections, &[old], &[]);
        old.kind = kind::ADOPTED;
        assert_eq!(
            (events[0].direction(), events[0].direction_source()),
            (direction, source),
            "{ports:?}"
        );
    }
}

#[test]
fn a_reset_is_told_from_an_orderly_end() {
    let case = |state: u32, error: i32| {
        let mut record = client(kind::CLOSED, 0);
        (record.state, record.error) = (state as u8, error as u16);
        ended_by_reset(&record)
    };
    assert!(
        case(state::ESTABLISHED, libc::ECONNRESET),
        "the peer reset it"
    );
    assert!(
        case(state::CLOSE_WAIT, libc::EPIPE),
        "the peer closed, then reset it"
    );
    assert!(case(state::ESTABLISHED, 0), "we reset it");
    assert!(!case(state::LAST_ACK, 0));
    assert!(!case(state::FIN_WAIT2, 0));
    assert!(
        !case(state::ESTABLISHED, libc::ETIMEDOUT),
        "nobody sent RST"
    );
}

#[test]
fn failed_connects_are_rows_by_reason() {
    let mut connections = Connections::new(10, 32_768, false);
    let failures = [libc::ECONNREFUSED, libc::ECONNREFUSED, libc::ETIMEDOUT, 0].map(|error| {
        let mut record = client(kind::FAILED, 0);
        (record.error, record.facts.established_ns) = (error as u16, 0);
        record
    });
    let events = period(&mut connections, &[], &failures);
    let mut found: Vec<_> = events
        .iter()
        .map(|event| (netflow(event).reason, netflow(event).tcp_failed))
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            ("aborted".into(), 1),
            ("refused".into(), 2),
            ("timeout".into(), 1)
        ]
    );
    assert_eq!(
        total(&events, |row| row.tcp_established + row.tcp_closed),
        0
    );
}

#[test]
fn round_trip_times_weigh_as_many_bytes_as_they_served() {
    let mut connections = Connections::new(10, 32_768, false);
    let (mut light, mut heavy) = (client(kind::CLOSED, 1), client(kind::CLOSED, 99));
    (light.local_port, light.rtt_us) = (1, 1000);
    heavy.rtt_us = 0;
    let events = period(&mut connections, &[], &[heavy]);
    assert_eq!(netflow(&events[0]).rtt_us, None, "no sample yet");
    heavy.rtt_us = 100;
    let events = period(&mut connections, &[], &[light, heavy]);
    assert_eq!(
        netflow(&events[0]).rtt_us,
        Some((1000.0 + 99.0 * 100.0) / 100.0)
    );
}

#[test]
fn a_mapped_address_is_the_ipv4_address_it_means() {
    let mut octets = [0; 16];
    octets[10..].copy_from_slice(&[255, 255, 10, 0, 0, 1]);
    let mapped = std::array::from_fn(|at| {
        u32::from_ne_bytes(octets[4 * at..4 * at + 4].try_into().unwrap())
    });
    assert_eq!(
        address(AF_INET6, mapped),
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))
    );
    assert_eq!(
        address(AF_INET6, [0, 0, 0, u32::from_ne_bytes([0, 0, 0, 1])]),
        IpAddr::V6(Ipv6Addr::LOCALHOST)
    );
    assert_eq!(
        address(2, words([10, 0, 0, 1])),
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))
    );
}

fn rules(text: &str) -> Rules {
    let document = Document::parse("agent.yaml", text, "TEST", []).unwrap();
    Rules::new(document.read(read).unwrap())
}

/// What was dropped: connections, packets, bytes.
fn dropped(connections: &Connections) -> Vec<(String, u64)> {
    let counters = connections.drops.counters(["c", "p", "b"]).into_iter();
    let named = counters.map(|Counter { name, value, .. }| (name, value));
    named.collect()
}

#[test]
fn what_a_rule_drops_makes_no_row_and_is_counted_once() {
    let mut connections = Connections::new(10, 32_768, false);
    connections.drops = DropRules::new(rules("drop: {web: {dst_port: 80}}")).dropper();
    let mut kept = client(kind::CLOSED, 7);
    (kept.socket, kept.remote_port) = (2, 443);
    let mut events = period(&mut connections, &[client(kind::LIVE, 50)], &[kept]);
    let mut failed = client(kind::FAILED, 0);
    failed.facts.established_ns = 0;
    events.extend(period(
        &mut connections,
        &[client(kind::LIVE, 60)],
        &[failed],
    ));
    events.extend(period(&mut connections, &[], &[client(kind::CLOSED, 80)]));

    assert_eq!(events.len(), 1);
    assert_eq!(events[0].dst_port, Some(443));
    // 3 and 4 segments of either attempt, 80 bytes out and 160 in.
    let counted = [("c", 2), ("p", 14), ("b", 240)].map(|(name, value)| (name.into(), value));
    assert_eq!(dropped(&connections), counted);
}

#[test]
fn when_rules_change_a_connection_goes_on_with_what_is_new() {
    let mut connections = Connections::new(10, 32_768, false);
    let drops = DropRules::new(rules("drop: {web: {dst_port: 80}}"));
    connections.drops = drops.dropper();
    let mut events = period(&mut connections, &[client(kind::LIVE, 50)], &[]);
    drops.replace(Rules::default());
    events.extend(period(&mut connections, &[client(kind::LIVE, 70)], &[]));
    drops.replace(rules("drop: {all: {transport: tcp}}"));
    events.extend(period(&mut connections, &[], &[client(kind::CLOSED, 100)]));

    assert_eq!(total(&events, |row| row.bytes_written), 20);
    let last = events.last().map(netflow).unwrap_or_default();
    assert_eq!(last.connections, 0, "it is not shown as live for ever");
    let bytes: u64 = dropped(&connections)
        .iter()
        .filter(|(name, _)| name == "b")
        .map(|(_, value)| value)
        .sum();
    assert_eq!(bytes, 3 * (50 + 30));
}
