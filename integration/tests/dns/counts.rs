//! Numbers: as dnsperf counts them, over UDP and TCP, and with more names than there is room for.

use std::{
    fmt::Write as _,
    net::UdpSocket,
    thread,
    time::{Duration, Instant},
};

use weir_integration::{
    name_servers::{Said, dnsmasq, dnsperf, load_zone, unbound},
    netns::Netns,
};
use weir_proto::flow::v1::{Direction, Dnsflow, FlowEvent, Transport};

use super::Watched;

fn of_load(_: &FlowEvent, data: &Dnsflow) -> bool {
    data.query_name.ends_with("load.test")
}

/// Both ends have every query, or what is missing was counted as lost.
fn both_ends_count(
    weir: &Watched,
    (client, server): (&Netns, &Netns),
    said: Said,
) -> anyhow::Result<()> {
    let lost = || weir.intake.counter("dns_lost", "ring_full");
    for (netns, side) in [(client, Direction::Outgoing), (server, Direction::Incoming)] {
        let sum = match lost() {
            0 => weir.until(netns, side, said.sent, of_load)?,
            some => weir.until(netns, side, said.sent.saturating_sub(some), of_load)?,
        };
        assert!(sum.count <= said.sent, "{sum:?} {said:?}");
        assert!(sum.count + lost() >= said.sent, "{sum:?} {said:?}");
        if lost() == 0 {
            assert_eq!(sum.count, said.sent);
            let answered = weir.sum(netns, side, |event, data| {
                of_load(event, data) && data.rcode == 0
            })?;
            assert_eq!(answered.count, said.completed);
        }
    }
    Ok(())
}

#[test]
fn every_query_and_answer_that_dnsperf_counts_is_counted_at_both_ends() -> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    let (config, queries) = load_zone();
    let _unbound = unbound(&server, &config)?;
    let weir = Watched::start("")?;
    weir.watches(&client)?;
    let said = dnsperf(&client, "-s 10.99.0.2 -Q 4000 -l 4 -c 20", &queries)?;
    both_ends_count(&weir, (&client, &server), said)?;
    let said6 = dnsperf(&client, "-f inet6 -s fd99::2 -Q 500 -l 1 -c 5", &queries)?;
    let v6 = weir.until(&client, Direction::Outgoing, said6.sent, |event, data| {
        of_load(event, data) && event.src_ip.len() == 16
    })?;
    assert_eq!(v6.count, said6.sent);
    Ok(())
}

#[test]
#[ignore = "half a minute of load, for release builds: `cargo test --release -p weir-integration --test dns -- --ignored`"]
fn at_20000_queries_a_second_nothing_is_missing_that_is_not_counted_as_lost() -> anyhow::Result<()>
{
    let (client, server) = Netns::pair()?;
    let (config, queries) = load_zone();
    let _unbound = unbound(&server, &config)?;
    let weir = Watched::start("")?;
    weir.watches(&client)?;
    let said = dnsperf(
        &client,
        "-s 10.99.0.2 -Q 20000 -l 30 -c 50 -q 1000",
        &queries,
    )?;
    both_ends_count(&weir, (&client, &server), said)
}

#[test]
fn pipelined_queries_over_tcp_are_counted_as_dnsperf_counts_them() -> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    let (config, queries) = load_zone();
    let _unbound = unbound(&server, &config)?;
    let weir = Watched::start("")?;
    weir.watches(&client)?;
    let said = dnsperf(
        &client,
        "-m tcp -s 10.99.0.2 -Q 2000 -l 2 -c 10 -q 200",
        &queries,
    )?;
    both_ends_count(&weir, (&client, &server), said)?;
    let tcp = weir.sum(&client, Direction::Outgoing, |event, data| {
        of_load(event, data) && event.transport() == Transport::Tcp
    })?;
    assert_eq!(tcp.count, said.sent);
    Ok(())
}

/// Answers each query after `delay`, as a server far away would: with its own bytes, as an answer.
fn far_server(netns: &Netns, delay: Duration) -> anyhow::Result<()> {
    let socket = netns.inside(|| Ok(UdpSocket::bind("0.0.0.0:53")?))?;
    let answering = socket.try_clone()?;
    let (put, take) = std::sync::mpsc::channel::<(Instant, Vec<u8>, _)>();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let mut bytes = buffer[..length].to_vec();
            bytes[2] |= 0x80;
            if put.send((Instant::now() + delay, bytes, from)).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        while let Ok((when, bytes, to)) = take.recv() {
            thread::sleep(when.saturating_duration_since(Instant::now()));
            let _sent = answering.send_to(&bytes, to);
        }
    });
    Ok(())
}

#[test]
fn latency_is_what_dnsperf_measures() -> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    far_server(&server, Duration::from_millis(30))?;
    let _forwarder = dnsmasq(&client, &["--server=10.99.0.2", "--cache-size=0"])?;
    let weir = Watched::start("")?;
    weir.watches(&client)?;
    let (_, queries) = load_zone();
    let said = dnsperf(&client, "-s 127.0.0.1 -Q 200 -l 3 -c 2", &queries)?;
    let asked = |event: &FlowEvent, data: &Dnsflow| {
        of_load(event, data) && event.dst_ip == [127, 0, 0, 1] && data.rcode == 0
    };
    let sum = weir.until(&client, Direction::Outgoing, said.completed, asked)?;
    let mean = sum.latency.sum_nano as f64 / sum.count as f64 / 1e9;
    let near = |ours: f64, theirs: f64| (ours - theirs).abs() <= theirs * 0.05;
    assert!(near(mean, said.latency), "{mean} {said:?}");
    let max = sum.latency.max_nano as f64 / 1e9;
    // One packet that waits for a busy CPU shows in dnsperf's maximum, not in ours.
    assert!(
        max >= mean && max <= said.latency_max * 1.05,
        "{max} {said:?}"
    );
    // The forwarder is a client of its own.
    let onward = weir.sum(&client, Direction::Outgoing, |event, data| {
        of_load(event, data) && event.dst_ip == [10, 99, 0, 2]
    })?;
    assert_eq!(onward.count, said.sent);
    Ok(())
}

#[test]
fn random_names_are_one_row_past_the_budget_and_no_query_is_missing() -> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    let _unbound = unbound(&server, " local-zone: \"load.test.\" static\n")?;
    let weir = Watched::start("  max_names: 50\n")?;
    weir.watches(&client)?;
    let mut queries = String::new();
    for number in 0..3000 {
        let _written = writeln!(queries, "random-{number}.load.test A");
    }
    let said = dnsperf(&client, "-s 10.99.0.2 -Q 2000 -n 1 -c 4", &queries)?;
    assert_eq!(said.lost, 0);
    let any = |_: &FlowEvent, data: &Dnsflow| data.rcode == 3;
    let sum = weir.until(&client, Direction::Outgoing, said.sent, any)?;
    assert_eq!(sum.count, said.sent);
    let rows = weir.rows(&client)?;
    let other = |data: &Dnsflow| data.query_name == "~other";
    let named = rows.iter().filter(|(_, data)| !other(data)).count();
    let periods: std::collections::BTreeSet<_> =
        rows.iter().map(|(event, _)| event.time_unix_nano).collect();
    assert!(named <= 50 * periods.len(), "{named} {}", periods.len());
    assert!(rows.iter().any(|(_, data)| other(data)));
    Ok(())
}
