//! Stories about a collector that takes the place of another.

use weir_ebpf_common::netflow::{Facts, kind, owner};
use weir_proto::flow::v1::{FlowEvent, Netflow, flow_event::Data};

use super::*;
use crate::netflow::rows::Period;

const PERIOD: Period = Period {
    end_unix_ns: 1,
    length_ns: 1,
};

/// A connection from 10.0.0.1:`port` to 10.0.0.2:80 that has sent `bytes`.
fn record(kind: u8, port: u16, bytes: u64) -> TcpRecord {
    let words = |octets| [u32::from_ne_bytes(octets), 0, 0, 0];
    TcpRecord {
        facts: Facts {
            connect_ns: 0,
            established_ns: 7,
            name: [0; 5],
            cgroup: 0,
            pid: 0,
            direction: direction::CONNECT,
            owner: owner::CALLER,
            adopted: 0,
            closed: 0,
        },
        socket: u64::from(port),
        bytes_sent: bytes,
        bytes_received: 0,
        local: words([10, 0, 0, 1]),
        remote: words([10, 0, 0, 2]),
        segments_in: 0,
        segments_out: 0,
        retransmits: 0,
        rtt_us: 0,
        rtt_var_us: 0,
        netns: 1,
        local_port: port,
        remote_port: 80,
        family: 2,
        error: 0,
        kind,
        state: state::ESTABLISHED as u8,
        reserved: [0; 2],
        inode: 0,
    }
}

/// The same connections as another collector sees them: other marks, and no memory of their beginning.
fn seen_anew(kind: u8, port: u16, bytes: u64) -> TcpRecord {
    let mut record = record(kind, port, bytes);
    record.socket += 1_000_000;
    record.facts.established_ns = 0;
    record.facts.direction = direction::UNKNOWN;
    record.facts.adopted = 1;
    record
}

fn connections() -> Connections {
    Connections::new(100, 32_768, false)
}

/// One collector's last period, with these connections.
fn last_period(live: &[(u16, u64)]) -> (u64, Handover) {
    let mut first = connections();
    first.note_for_next();
    first.begin_pass();
    for (port, bytes) in live {
        first.record(&record(kind::LIVE, *port, *bytes));
    }
    first.end_pass();
    (written(&first.take(PERIOD)), first.hand_over())
}

fn next(before: Handover, found: &[(u16, u64)]) -> Connections {
    let mut next = connections();
    next.go_on(before);
    next.begin_owners();
    for (port, bytes) in found {
        next.record(&seen_anew(kind::ADOPTED, *port, *bytes));
    }
    next.end_owners();
    next
}

fn of(event: &FlowEvent) -> &Netflow {
    match &event.data {
        Some(Data::Netflow(netflow)) => netflow,
        other => panic!("no netflow but {other:?}"),
    }
}

fn written(events: &[FlowEvent]) -> u64 {
    events.iter().map(|event| of(event).bytes_written).sum()
}

#[test]
fn bytes_moved_while_nobody_looked_are_counted_once() {
    let (first, before) = last_period(&[(40_000, 100)]);
    let mut next = next(before, &[(40_000, 150)]);
    next.record(&seen_anew(kind::CLOSED, 40_000, 170));
    let events = next.take(PERIOD);
    assert_eq!(first + written(&events), 170);
    let [event] = &*events else {
        panic!("one row: {events:?}")
    };
    assert_eq!(event.direction_source(), DirectionSource::Connect);
    assert_eq!((of(event).tcp_established, of(event).tcp_closed), (0, 1));
}

#[test]
fn a_connection_that_began_while_nobody_looked_is_counted_whole() {
    let (_, before) = last_period(&[(40_000, 100)]);
    let mut next = next(before, &[(40_000, 100), (40_001, 30)]);
    next.begin_pass();
    next.record(&seen_anew(kind::LIVE, 40_000, 100));
    next.record(&seen_anew(kind::LIVE, 40_001, 40));
    next.end_pass();
    let events = next.take(PERIOD);
    assert_eq!(written(&events), 40);
    let established: u64 = events.iter().map(|event| of(event).tcp_established).sum();
    assert_eq!(established, 1);
}

#[test]
fn after_a_pass_that_was_cut_short_nothing_is_counted_twice() {
    let mut first = connections();
    first.note_for_next();
    first.begin_pass();
    let mut next = next(first.hand_over(), &[(40_000, 150)]);
    next.record(&seen_anew(kind::CLOSED, 40_000, 170));
    assert_eq!(written(&next.take(PERIOD)), 20);
}

#[test]
fn a_connection_that_ended_while_nobody_looked_is_counted_as_an_end_unseen() {
    let (_, before) = last_period(&[(40_000, 100), (40_001, 5)]);
    let next = next(before, &[(40_000, 100)]);
    assert_eq!(next.tally.end_unseen, 1);
}

#[test]
fn another_connection_between_the_same_ports_is_not_taken_for_the_one_before() {
    let (_, before) = last_period(&[(40_000, 100)]);
    let mut next = next(before, &[(40_000, 30)]);
    next.record(&seen_anew(kind::CLOSED, 40_000, 50));
    assert_eq!(written(&next.take(PERIOD)), 50);
}
