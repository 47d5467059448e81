//! Numbers that equal what the programs counted, on one host.

use weir_integration::{
    flows::sum,
    netns::sh,
    traffic::{Program, Said, Traffic},
};

use crate::{Watched, assert_exact};

/// One exchange between two named programs.
struct Case {
    name: &'static str,
    listen: &'static str,
    connect: &'static str,
    client: &'static str,
    server: &'static str,
}

const CASES: [Case; 8] = [
    Case {
        name: "nothing sent",
        listen: "127.0.0.1",
        connect: "127.0.0.1",
        client: "",
        server: "",
    },
    Case {
        name: "one byte each way",
        listen: "127.0.0.1",
        connect: "127.0.0.1",
        client: "--send 1 --expect 1",
        server: "--send 1 --expect 1",
    },
    Case {
        name: "20 MB up, 3 MB down over IPv4",
        listen: "127.0.0.1",
        connect: "127.0.0.1",
        client: "--send 20000000 --expect 3000000",
        server: "--expect 20000000 --send 3000000",
    },
    Case {
        name: "20 MB over IPv6",
        listen: "[::1]",
        connect: "[::1]",
        client: "--send 20000000 --expect 7",
        server: "--expect 20000000 --send 7",
    },
    Case {
        name: "IPv4 client of a dual-stack server",
        listen: "[::]",
        connect: "127.0.0.1",
        client: "--send 12345 --expect 54321",
        server: "--expect 12345 --send 54321",
    },
    Case {
        name: "IPv4-mapped client",
        listen: "127.0.0.1",
        connect: "[::ffff:127.0.0.1]",
        client: "--send 12345 --expect 54321",
        server: "--expect 12345 --send 54321",
    },
    Case {
        name: "closed by the client with RST",
        listen: "127.0.0.1",
        connect: "127.0.0.1",
        client: "--send 100000 --expect 5 --close rst",
        server: "--expect 100000 --send 5",
    },
    Case {
        name: "closed by the server with RST",
        listen: "127.0.0.1",
        connect: "127.0.0.1",
        client: "--send 5 --expect 100000 --wait-close",
        server: "--expect 5 --send 100000 --close rst",
    },
];

fn exchange(case: &Case) -> anyhow::Result<(u16, Said, Said)> {
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let mut server = billing.run(
        None,
        &format!("serve --listen {}:0 {}", case.listen, case.server),
    )?;
    let port = server.port()?;
    let client = orders.run(
        None,
        &format!("connect --to {}:{port} {}", case.connect, case.client),
    )?;
    Ok((port, client.said()?, server.said()?))
}

fn every_case_is_exact(agent: &str) -> anyhow::Result<()> {
    let weir = Watched::start(agent)?;
    for case in &CASES {
        let (port, client, server) = exchange(case)?;
        let rows = weir.client(port, 1)?;
        assert_exact(&rows, &client, "orders", case.name);
        assert!(
            rows.iter()
                .all(|row| row.tag("direction_source") == "connect"),
            "{}: {rows:?}",
            case.name
        );
        let served = weir.server(port, 1)?;
        assert_exact(&served, &server, "billing", case.name);
        assert!(
            served
                .iter()
                .all(|row| row.tag("direction_source") == "accept"),
            "{}: {served:?}",
            case.name
        );
        let resets = u64::from(case.name.ends_with("RST"));
        assert_eq!(
            sum(&rows, "tcp_reset"),
            resets,
            "{}: the client's end",
            case.name
        );
        assert_eq!(
            sum(&served, "tcp_reset"),
            resets,
            "{}: the server's end",
            case.name
        );
        let family = if case.connect == "[::1]" {
            "IPv6"
        } else {
            "IPv4"
        };
        for row in rows.iter().chain(&served) {
            assert_eq!(row.tag("family"), family, "{}", case.name);
        }
        assert_eq!(
            rows[0].tag("src_ip"),
            served[0].tag("dst_ip"),
            "{}: both ends name the client",
            case.name
        );
    }
    Ok(())
}

#[test]
fn every_byte_is_counted_once_at_both_ends() -> anyhow::Result<()> {
    every_case_is_exact("")
}

#[test]
fn the_raw_tracepoint_fallback_is_as_exact() -> anyhow::Result<()> {
    every_case_is_exact("  hook: raw_tracepoint\n")
}

#[test]
fn a_refused_connect_is_a_failure_with_its_reason() -> anyhow::Result<()> {
    let weir = Watched::start("")?;
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let client = Program::named("orders")?.run(
        None,
        &format!("connect --to 127.0.0.1:{port} --connections 3"),
    )?;
    let said = client.said()?;
    assert_eq!((said.failed, said.connections), (3, 0));

    let rows = weir.client(port, 3)?;

    assert_eq!(sum(&rows, "tcp_failed"), 3);
    assert_eq!(
        sum(&rows, "tcp_established") + sum(&rows, "tcp_closed") + sum(&rows, "tcp_reset"),
        0
    );
    assert_eq!(sum(&rows, "bytes_written") + sum(&rows, "bytes_read"), 0);
    for row in &rows {
        assert_eq!(
            (row.tag("reason"), row.tag("process_name")),
            ("refused", "orders"),
            "{row:?}"
        );
        assert_eq!(row.tag("pid"), said.pid.to_string());
    }
    Ok(())
}

/// Two rounds of 1000 up and 500 down; the agent starts after the first.
fn older_than_the_agent(agent: &str) -> anyhow::Result<(u16, Said, Watched, Traffic)> {
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let mut server = billing.run(None, "serve --listen 127.0.0.1:0 --expect 1000 --send 500")?;
    let port = server.port()?;
    let connect =
        format!("connect --to 127.0.0.1:{port} --send 1000 --expect 500 --rounds 2 --hold");
    let mut client = orders.run(None, &connect)?;
    client.go_on()?;
    client.step("round 1")?;
    let weir = Watched::start(agent)?;
    client.go_on()?;
    client.step("round 2")?;
    client.step("held")?;
    let text = port.to_string();
    weir.flows.until(
        "both ends to be seen live",
        |row| row.field("connections") == Some(1.0),
        |rows| {
            ["src_port", "dst_port"]
                .iter()
                .all(|end| rows.iter().any(|row| row.tag(end) == text))
        },
    )?;
    client.go_on()?;
    Ok((port, client.said()?, weir, server))
}

fn an_older_connection_counts_from_now_on(agent: &str) -> anyhow::Result<()> {
    let (port, client, weir, server) = older_than_the_agent(agent)?;
    let server = server.said()?;
    let (rows, served) = (weir.client(port, 1)?, weir.server(port, 1)?);
    for (rows, said, name) in [(&rows, client, "orders"), (&served, server, "billing")] {
        // Half of it was before.
        assert_eq!(sum(rows, "bytes_written"), said.written / 2, "{name}");
        assert_eq!(sum(rows, "bytes_read"), said.read / 2, "{name}");
        assert_eq!(
            sum(rows, "tcp_established"),
            0,
            "it was established before: {name}"
        );
        assert_eq!(sum(rows, "tcp_closed"), 1, "{name}");
        assert!(
            rows.iter().any(|row| row.field("connections") == Some(1.0)),
            "{name} was seen live: {rows:?}"
        );
        for row in rows {
            assert_eq!(
                (row.tag("process_name"), row.tag("pid")),
                (name, said.pid.to_string().as_str()),
                "{row:?}"
            );
        }
    }
    assert_eq!(
        served[0].tag("direction_source"),
        "listen",
        "its listener is known"
    );
    assert_eq!(
        rows[0].tag("direction_source"),
        "port",
        "nothing but the ports tells: a guess, and marked"
    );
    Ok(())
}

#[test]
fn a_connection_older_than_the_agent_counts_from_its_start_on() -> anyhow::Result<()> {
    an_older_connection_counts_from_now_on("")
}

#[test]
fn the_fallback_adopts_older_connections_too() -> anyhow::Result<()> {
    an_older_connection_counts_from_now_on("  hook: raw_tracepoint\n")
}

#[test]
fn a_live_connection_shows_what_ss_shows() -> anyhow::Result<()> {
    let weir = Watched::start("")?;
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let mut server = billing.run(None, "serve --listen 127.0.0.1:0 --expect 4000 --send 6000")?;
    let port = server.port()?;
    let mut client = orders.run(
        None,
        &format!("connect --to 127.0.0.1:{port} --send 4000 --expect 6000 --hold"),
    )?;
    client.go_on()?;
    client.step("held")?;

    let text = port.to_string();
    let rows = weir.flows.until(
        "rows of the live connection",
        |row| row.tag("dst_port") == text,
        |rows| {
            rows.last()
                .is_some_and(|row| row.field("connections") == Some(1.0))
                && rows.len() > 2
        },
    )?;
    // The connection is idle now, so its round-trip time stands still. ss prints milliseconds: rtt:0.041/0.023
    let ss = sh(&format!("ss -tniH state established dport = :{port}"))?;
    let rtt = ss
        .split_once(" rtt:")
        .and_then(|(_, rest)| rest.split(['/', ' ']).next()?.parse::<f64>().ok());
    let shown = rows.last().and_then(|row| row.field("rtt"));
    assert_eq!(shown.map(|us| us / 1000.0), rtt, "ss: {ss}");
    let segments = ss
        .split_once(" segs_out:")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
    assert_eq!(Some(sum(&rows, "packets_written")), segments, "ss: {ss}");
    client.go_on()?;
    assert_exact(&weir.client(port, 1)?, &client.said()?, "orders", "held");
    Ok(())
}
