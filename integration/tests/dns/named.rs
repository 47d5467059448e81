//! The oracle is the server's own log: named (BIND 9) writes down every query that it takes.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use weir_integration::{
    eventually,
    name_servers::{NameServer, named, unbound},
    netns::Netns,
};
use weir_proto::flow::v1::{Direction, Dnsflow, FlowEvent, Transport};

use super::Watched;

/// Queries by name, type and whether they came over TCP.
type Counts = BTreeMap<(String, String, bool), u64>;

/// Texts that no datagram holds, a name of both families, an alias of a whole domain that is too long with much before it.
fn records() -> String {
    let mut records =
        "ok A 192.0.2.1\nok AAAA 2001:db8::1\n@ MX 10 ok\nalias CNAME ok\n".to_owned();
    let label = "x".repeat(50);
    // Writing to a String does not fail.
    let _written = writeln!(records, "deep DNAME {label}.{label}.{label}");
    for number in 0..60 {
        let _written = writeln!(records, "big TXT \"{number}{}\"", "x".repeat(200));
    }
    records
}

/// What the server says that `client` has asked. A line ends in
/// `client @0x7f 10.99.0.1#4711 (ok.named.test): query: ok.named.test IN A +E(0)T (10.99.0.2)`; `T` is TCP.
fn logged(server: &NameServer, client: &str) -> Counts {
    let mut counts = Counts::new();
    for line in server.process.stderr() {
        let asked = || {
            let (before, query) = line.split_once(" query: ")?;
            before.contains(&format!(" {client}#")).then_some(())?;
            let mut words = query.split_whitespace();
            let (name, _class) = (words.next()?.to_lowercase(), words.next()?);
            let (kind, flags) = (words.next()?.to_owned(), words.next()?);
            Some((name, kind, flags.contains('T')))
        };
        if let Some(key) = asked() {
            *counts.entry(key).or_default() += 1;
        }
    }
    counts
}

/// The rows of one end that `pick` takes.
fn reported(
    weir: &Watched,
    netns: &Netns,
    direction: Direction,
    pick: impl Fn(&FlowEvent, &Dnsflow) -> bool,
) -> anyhow::Result<Counts> {
    let mut counts = Counts::new();
    for (event, data) in weir.rows(netns)? {
        if event.direction() == direction && pick(&event, &data) {
            let is_tcp = event.transport() == Transport::Tcp;
            *counts
                .entry((data.query_name, data.query_type, is_tcp))
                .or_default() += data.count;
        }
    }
    Ok(counts)
}

/// Waits until both ends have what the server has logged of `client`, all of it and nothing else.
fn both_ends_have_what_is_logged(
    weir: &Watched,
    [client, server]: [&Netns; 2],
    named: &NameServer,
) -> anyhow::Result<Counts> {
    eventually("what the server logged", || {
        let log = logged(named, "10.99.0.1");
        for (netns, direction) in [(client, Direction::Outgoing), (server, Direction::Incoming)] {
            let between = |event: &FlowEvent, _: &Dnsflow| {
                let remote = if direction == Direction::Outgoing {
                    2
                } else {
                    1
                };
                event.dst_ip == [10, 99, 0, remote]
            };
            let rows = reported(weir, netns, direction, between).map_err(|e| e.to_string())?;
            if rows != log {
                return Err(format!("{direction:?} {rows:#?}, logged {log:#?}"));
            }
        }
        Ok(log)
    })
}

/// Go's own resolver, as a program.
fn go_resolver() -> anyhow::Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    fs::write(
        folder.path().join("resolver.go"),
        include_str!("resolver.go"),
    )?;
    let program = folder.path().join("resolver");
    // Without C, so that Go itself asks.
    let output = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg("resolver.go")
        .current_dir(folder.path())
        .envs([("CGO_ENABLED", "0"), ("GO111MODULE", "off")])
        .output()
        .context("failed to start go")?;
    ensure!(output.status.success(), "{output:?}");
    Ok((folder, program))
}

#[test]
fn what_drill_and_gos_resolver_ask_is_counted_as_the_server_logs_it() -> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    let named = named(&server, &records())?;
    let (_folder, resolver) = go_resolver()?;
    let weir = Watched::start("")?;
    weir.watches(&client)?;
    for options in [
        "ok.named.test",
        "-t ok.named.test AAAA",
        "-t big.named.test TXT",
        "nx.named.test MX",
    ] {
        client.sh(&format!("drill {options} @10.99.0.2"))?;
    }
    let said = client.sh(&format!("{} 10.99.0.2:53 20", resolver.display()))?;
    for told in ["host 2 <nil>", "nx true", "texts 60 <nil>", "mx 1 <nil>"] {
        let times = said.lines().filter(|line| *line == told).count();
        assert_eq!(times, 20, "{told}: {said}");
    }
    let log = both_ends_have_what_is_logged(&weir, [&client, &server], &named)?;
    let of = |name: &str, kind: &str, is_tcp| {
        let key = (format!("{name}named.test"), kind.to_owned(), is_tcp);
        log.get(&key).copied().unwrap_or_default()
    };
    // Both families of two names; the texts once over UDP, which is truncated, and once over TCP.
    let counts = [
        of("ok.", "A", false),
        of("ok.", "AAAA", false),
        of("nx.", "A", false),
    ];
    assert_eq!(counts, [21, 20, 20], "{log:#?}");
    let texts = [of("big.", "TXT", false), of("big.", "TXT", true)];
    assert_eq!(texts, [20, 21], "{log:#?}");
    for (event, data) in weir.rows(&client)? {
        if event.dst_ip == [10, 99, 0, 2] {
            let expected = if data.query_name == "nx.named.test" {
                3
            } else {
                0
            };
            assert_eq!(data.rcode, expected, "{data:?}");
        }
    }
    Ok(())
}

#[test]
fn the_rarer_response_codes_are_those_that_dig_shows() -> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    let _named = named(&server, &records())?;
    let weir = Watched::start("")?;
    weir.watches(&client)?;
    let long = "y".repeat(50);
    let deep = format!("{long}.{long}.{long}.deep.named.test");
    let key = "hmac-sha256:unknown:c2VjcmV0c2VjcmV0";
    let cases = [
        // An option of EDNS (client subnet, cookie) that is too short.
        ("ok.named.test", "A", "+ednsopt=8:ff", "FORMERR", 1),
        (
            "alias.named.test",
            "A",
            "+nocookie +ednsopt=10:00",
            "FORMERR",
            1,
        ),
        // A zone of which the server has no copy.
        ("silent.test", "A", "", "SERVFAIL", 2),
        ("nx.named.test", "A", "", "NXDOMAIN", 3),
        ("ok.named.test", "MAILB", "", "NOTIMP", 4),
        ("elsewhere.test", "A", "", "REFUSED", 5),
        // A name that gets too long by its alias.
        (&deep, "A", "", "YXDOMAIN", 6),
        ("ok.named.test", "TXT", &format!("-y {key}"), "NOTAUTH", 9),
        (
            "ok.named.test",
            "MX",
            "+edns=100 +noednsnegotiation",
            "BADVERS",
            16,
        ),
    ];
    for (name, kind, options, word, rcode) in cases {
        let said = client.sh(&format!(
            "dig @10.99.0.2 {name} {kind} {options} +tries=1 +time=20"
        ))?;
        assert!(said.contains(&format!("status: {word}")), "{said}");
        for (netns, direction) in [
            (&client, Direction::Outgoing),
            (&server, Direction::Incoming),
        ] {
            let of = |_: &FlowEvent, data: &Dnsflow| {
                (data.query_name.as_str(), data.query_type.as_str()) == (name, kind)
            };
            let all = weir.until(netns, direction, 1, of)?;
            let right = weir.sum(netns, direction, |event, data| {
                of(event, data) && data.rcode == rcode
            })?;
            assert_eq!((all.count, right.count), (1, 1), "{name} {kind} {word}");
        }
    }
    Ok(())
}

#[test]
fn a_resolvers_truncated_queries_and_their_repetition_over_tcp_are_counted_as_the_server_logs_them()
-> anyhow::Result<()> {
    const ROUNDS: usize = 100;
    let (client, server) = Netns::pair()?;
    let named = named(&server, &records())?;
    // It keeps nothing, so that each query is asked on.
    let _resolver = unbound(
        &client,
        " cache-max-ttl: 0\n cache-max-negative-ttl: 0\n qname-minimisation: no\n local-zone: \"test.\" nodefault\n\
         stub-zone:\n name: \"named.test.\"\n stub-addr: 10.99.0.2\n stub-no-cache: yes\n",
    )?;
    let (_folder, program) = go_resolver()?;
    let weir = Watched::start("")?;
    weir.watches(&client)?;
    let said = client.sh(&format!("{} 127.0.0.1:53 {ROUNDS}", program.display()))?;
    let told = said.lines().filter(|line| *line == "texts 60 <nil>");
    assert_eq!(told.count(), ROUNDS, "{said}");
    let log = both_ends_have_what_is_logged(&weir, [&client, &server], &named)?;
    // What Go asks the resolver and what the resolver asks on are queries each, truncated over UDP and whole over TCP.
    let here = |event: &FlowEvent, data: &Dnsflow| {
        event.dst_ip == [127, 0, 0, 1] && data.query_name == "big.named.test"
    };
    for is_tcp in [false, true] {
        let key = ("big.named.test".to_owned(), "TXT".to_owned(), is_tcp);
        assert!(
            log.get(&key).is_some_and(|count| *count >= ROUNDS as u64),
            "{log:#?}"
        );
        let asked = eventually("Go's queries", || {
            let rows = reported(&weir, &client, Direction::Outgoing, here);
            let count = rows.map_err(|error| error.to_string())?.remove(&key);
            count
                .filter(|count| *count >= ROUNDS as u64)
                .ok_or_else(|| format!("{count:?}"))
        })?;
        assert_eq!(asked, ROUNDS as u64, "TCP: {is_tcp}");
    }
    // Once to Go, and at both ends of the wire; other stories may have more, which the agent counts too.
    eventually("the counter", || {
        let truncated = weir.intake.counter("dns_truncated_answers", "");
        let enough = truncated >= 3 * ROUNDS as u64;
        enough.then_some(()).ok_or_else(|| truncated.to_string())
    })
}
