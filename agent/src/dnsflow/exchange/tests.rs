use std::net::SocketAddr;

use weir_proto::flow::v1::{Direction, FlowEvent, flow_event::Data};

use super::*;
use crate::{
    capture::packet::{Datagram, Segment},
    config,
    dnsflow::wire::{A, CNAME, answer, framed, header, name, query, record},
};

const CLIENT: &str = "10.0.0.1:40000";
const SERVER: &str = "10.0.0.53:53";
const SECOND: u64 = 1_000_000_000;

/// A client's namespace and what is reported of it.
struct Host {
    exchange: Exchange,
    names: Arc<Names>,
    rows: Rows,
    now: u64,
}

/// Name, response code, count, sum of latencies.
type Seen = (String, i32, u64, u64);

impl Host {
    fn new() -> Self {
        let names = Arc::new(Names::new(&config::Names {
            floor: Duration::from_secs(60),
            max_entries: 100,
        }));
        let mut exchange = Exchange::new(1000, Duration::from_secs(5), Arc::clone(&names));
        exchange.conversation.to_monotonic = 0;
        Self {
            exchange,
            names,
            rows: Rows::new(100),
            now: SECOND,
        }
    }

    fn sees(&mut self, src: &str, dst: &str, tcp: Option<Segment>, payload: &[u8]) {
        self.sees_with(src, dst, tcp, payload, false);
    }

    fn sees_with(
        &mut self,
        src: &str,
        dst: &str,
        tcp: Option<Segment>,
        payload: &[u8],
        is_translated: bool,
    ) {
        let [src, dst]: [SocketAddr; 2] = [src, dst].map(|address| address.parse().unwrap());
        let here = |address: SocketAddr| address.ip() == SocketAddr::ip(&CLIENT.parse().unwrap());
        self.exchange.take(&Packet {
            netns: 1,
            time_ns: self.now,
            datagram: Datagram {
                src,
                dst,
                tcp,
                payload,
                is_cut: false,
            },
            from_here: here(src),
            to_here: here(dst),
            is_translated,
        });
    }

    fn asks(&mut self, message: &[u8]) {
        self.sees(CLIENT, SERVER, None, message);
    }

    fn hears(&mut self, message: &[u8]) {
        self.sees(SERVER, CLIENT, None, message);
    }

    fn reports(&mut self) -> Vec<Seen> {
        self.exchange.sweep(self.now);
        let owners = Owners::default();
        self.exchange
            .settle(self.now, true, &mut self.rows, &owners);
        let mut seen: Vec<_> = self.rows.take(0, 0).iter().map(seen).collect();
        seen.sort();
        seen
    }

    fn counts(&self, name: &str, cause: &str) -> u64 {
        let counters = self.exchange.counters();
        let found = counters
            .iter()
            .find(|counter| counter.name == name && counter.cause == cause);
        found.unwrap().value
    }
}

fn seen(event: &FlowEvent) -> Seen {
    assert_eq!(event.direction(), Direction::Outgoing);
    let Some(Data::Dnsflow(data)) = &event.data else {
        panic!("{event:?}");
    };
    let latency = data.latency.as_ref().map_or(0, |latency| latency.sum_nano);
    (data.query_name.clone(), data.rcode, data.count, latency)
}

fn row(name: &str, rcode: i32, count: u64, latency: u64) -> Seen {
    (name.to_owned(), rcode, count, latency)
}

#[test]
fn a_query_and_its_answer_are_a_row_and_the_address_has_the_name_that_was_asked_for() {
    let mut host = Host::new();
    let records = [
        record(&[0xc0, 12], CNAME, 5, &name("edge.cdn")),
        record(&name("edge.cdn"), A, 5, &[192, 0, 2, 1]),
    ];
    host.asks(&query(1, "Shop.Example", A));
    host.now += 700;
    host.hears(&answer(1, "shop.example", A, 0, &records));
    assert_eq!(host.reports(), [row("shop.example", 0, 1, 700)]);
    let found = host.names.find(1, [192, 0, 2, 1].into(), host.now);
    assert_eq!(found.as_deref(), Some("shop.example"));
}

#[test]
fn an_address_in_an_answer_that_nobody_asked_for_has_no_name() {
    let mut host = Host::new();
    let record = [record(&[0xc0, 12], A, 5, &[192, 0, 2, 1])];
    host.hears(&answer(1, "bank.example", A, 0, &record));
    host.asks(&query(2, "bank.example", A));
    host.hears(&answer(3, "bank.example", A, 0, &record));
    host.hears(&answer(2, "other.example", A, 0, &record));
    assert!(host.names.is_empty());
    assert_eq!(host.counts("dns_messages", "unasked_answer"), 2);
    assert_eq!(host.counts("dns_messages", "forged_answer"), 1);
}

#[test]
fn a_query_that_is_not_answered_is_reported_as_such_after_the_timeout() {
    let mut host = Host::new();
    host.asks(&query(1, "silent.example", A));
    host.now += 4 * SECOND;
    assert!(host.reports().is_empty());
    host.now += SECOND;
    assert_eq!(host.reports(), [row("silent.example", -1, 1, 0)]);
    host.hears(&answer(1, "silent.example", A, 0, &[]));
    assert!(host.reports().is_empty());
    assert_eq!(host.counts("dns_messages", "late_answer"), 1);
    assert_eq!(host.counts("dns_timeouts", ""), 1);
}

#[test]
fn a_truncated_answer_and_the_same_query_over_tcp_are_two_queries() {
    let mut host = Host::new();
    host.asks(&query(1, "big.example", A));
    host.now += 10;
    let mut truncated = answer(1, "big.example", A, 0, &[]);
    truncated[2] |= 2;
    host.hears(&truncated);
    let segment = |sequence, flags| Some(Segment { sequence, flags });
    let asked = framed(&query(2, "big.example", A));
    host.sees(CLIENT, SERVER, segment(9, 2), b"");
    host.sees(SERVER, CLIENT, segment(99, 0x12), b"");
    host.sees(CLIENT, SERVER, segment(10, 0x18), &asked);
    host.now += 100;
    let records = vec![record(&[0xc0, 12], A, 5, &[1; 4]); 400];
    let answered = framed(&answer(2, "big.example", A, 0, &records));
    let (first, second) = answered.split_at(3000);
    host.sees(SERVER, CLIENT, segment(100, 0x10), first);
    host.now += 100;
    host.sees(SERVER, CLIENT, segment(3100, 0x18), second);
    assert_eq!(
        host.reports(),
        [row("big.example", 0, 1, 10), row("big.example", 0, 1, 200)]
    );
    assert_eq!(host.counts("dns_truncated_answers", ""), 1);
}

#[test]
fn what_only_passes_under_our_address_is_no_query_of_ours_and_its_answer_is_not_unasked() {
    let mut host = Host::new();
    host.sees_with(CLIENT, SERVER, None, &query(1, "pod.example", A), true);
    host.hears(&answer(1, "pod.example", A, 0, &[]));
    host.sees_with(CLIENT, SERVER, None, &query(2, "pod.example", A), true);
    host.now += 6 * SECOND;
    assert!(host.reports().is_empty());
    assert_eq!(host.counts("dns_messages", "translated"), 3);
    assert_eq!(host.counts("dns_messages", "unasked_answer"), 0);
    assert_eq!(host.counts("dns_timeouts", ""), 0);
}

#[test]
fn a_question_to_everyone_is_counted_and_never_times_out() {
    let mut host = Host::new();
    let group = "224.0.0.251:5353";
    host.sees("10.0.0.1:5353", group, None, &query(0, "printer.local", A));
    host.sees("10.0.0.9:5353", group, None, &query(0, "scanner.local", A));
    host.sees(
        "10.0.0.9:5353",
        group,
        None,
        &answer(0, "printer.local", A, 0, &[]),
    );
    host.now += 10 * SECOND;
    assert_eq!(host.reports(), [row("printer.local", 0, 1, 0)]);
    assert_eq!(host.counts("dns_messages", "multicast"), 3);
}

#[test]
fn what_cannot_be_read_is_counted_by_cause() {
    let mut host = Host::new();
    host.asks(b"no dns");
    let mut notify = query(1, "zone.example", A);
    notify[2] = 4 << 3;
    host.asks(&notify);
    let two = [&[0, 1][..], &header(0x0100, [2, 0, 0, 0]), &[0; 40]].concat();
    host.asks(&two);
    assert!(host.reports().is_empty());
    assert_eq!(host.counts("dns_messages", "malformed"), 2);
    assert_eq!(host.counts("dns_messages", "other_operation"), 1);
}

#[test]
fn every_message_is_counted_by_exactly_one_cause() {
    let mut random = fastrand::Rng::with_seed(11);
    let mut host = Host::new();
    let mut messages = 0;
    for _ in 0..20_000 {
        let name = format!("{}.example", random.u8(0..4));
        let id = random.u16(0..4);
        let mut bytes = if random.bool() {
            query(id, &name, A)
        } else {
            answer(id, &name, A, random.u16(0..6), &[])
        };
        if random.u8(0..10) == 0 {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        let (src, dst) = if bytes[2] & 0x80 == 0 {
            (CLIENT, SERVER)
        } else {
            (SERVER, CLIENT)
        };
        host.sees_with(src, dst, None, &bytes, random.u8(0..20) == 0);
        host.now += random.u64(0..SECOND / 10);
        messages += 1;
        host.exchange.sweep(host.now);
    }
    host.now += 10 * SECOND;
    let rows = host.reports();
    let counters = host.exchange.counters();
    let counted = counters
        .iter()
        .filter(|counter| counter.name == "dns_messages");
    assert_eq!(counted.map(|counter| counter.value).sum::<u64>(), messages);
    // Every query was answered, timed out, or found no room.
    let queries: u64 = rows.iter().map(|(_, _, count, _)| count).sum();
    let lost = host.counts("dns_lost", "pending_full");
    assert_eq!(queries + lost, host.counts("dns_messages", "query"));
    let answered: u64 = rows.iter().filter(|row| row.1 >= 0).map(|row| row.2).sum();
    assert_eq!(answered, host.counts("dns_messages", "answer"));
}
