//! Connections in number, in trouble and over time, on one host.

use anyhow::ensure;

use crate::{
    flows::{Row, sum},
    traffic::{Program, Said},
    watched::{Watched, exact, owned, server, sums, tagged},
};

/// Connects that a peer refuses are failures with their reason.
///
/// # Errors
/// If a row is not right.
pub fn refused(weir: &Watched) -> anyhow::Result<()> {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let connect = format!("connect --to 127.0.0.1:{port} --connections 3");
    let said = Program::named("orders")?.run(None, &connect)?.said()?;
    ensure!((said.failed, said.connections) == (3, 0), "{said:?}");

    let rows = weir.client(port, 3)?;

    let nothing = [
        "tcp_established",
        "tcp_closed",
        "tcp_reset",
        "bytes_written",
        "bytes_read",
    ];
    sums(&rows, "refused", &nothing.map(|field| (field, 0)))?;
    sums(&rows, "refused", &[("tcp_failed", 3)])?;
    tagged(&rows, "refused", "reason", "refused")?;
    owned(&rows, &said, "orders")
}

/// Makes `count` connections, one after the other; returns the server's port and what both sides said.
///
/// # Errors
/// If one fails.
pub fn short_connections(count: u64) -> anyhow::Result<(u16, Said, Said)> {
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let serve = format!("serve --listen 127.0.0.1:0 --expect 3 --send 7 --connections {count}");
    let mut server = billing.run(None, &serve)?;
    let port = server.port()?;
    let connect =
        format!("connect --to 127.0.0.1:{port} --send 3 --expect 7 --connections {count}");
    let client = orders.run(None, &connect)?.said()?;
    ensure!(
        (client.connections, client.written, client.read) == (count, 3 * count, 7 * count),
        "{client:?}"
    );
    Ok((port, client, server.said()?))
}

/// Many short connections are all there.
///
/// # Errors
/// If a row is not right.
pub fn burst(weir: &Watched, count: u64) -> anyhow::Result<()> {
    let (port, client, server) = short_connections(count)?;
    exact(&weir.client(port, count)?, &client, "orders")?;
    exact(&weir.server(port, count)?, &server, "billing")
}

/// A connection that lives over several periods: each round is in the rows while it lives, and no round twice.
///
/// # Errors
/// If a row is not right.
pub fn live(weir: &Watched) -> anyhow::Result<()> {
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let mut server = billing.run(None, "serve --listen 127.0.0.1:0 --expect 4000 --send 6000")?;
    let port = server.port()?;
    let connect =
        format!("connect --to 127.0.0.1:{port} --send 4000 --expect 6000 --rounds 3 --hold");
    let mut client = orders.run(None, &connect)?;
    for round in 1..=3 {
        client.go_on()?;
        client.step(&format!("round {round}"))?;
        let pick = crate::watched::client("tcp", port);
        let rows = weir.flows.until("the round's bytes", pick, |rows| {
            sum(rows, "bytes_read") >= 6000 * round
        })?;
        let moved = [
            ("bytes_written", 4000 * round),
            ("bytes_read", 6000 * round),
        ];
        sums(&rows, &format!("round {round}"), &moved)?;
        let last = rows.last().and_then(|row| row.field("connections"));
        ensure!(last == Some(1.0), "{last:?} live connections: {rows:?}");
    }
    client.step("held")?;
    client.go_on()?;
    exact(&weir.client(port, 1)?, &client.said()?, "orders")?;
    exact(&weir.server(port, 1)?, &server.said()?, "billing")
}

/// A connection that is there before the agent, an agent of its own configured by `agent`, counts from the
/// agent's start on.
///
/// # Errors
/// If a row is not right.
pub fn older_than_the_agent(agent: &str) -> anyhow::Result<()> {
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
    let is_live = |row: &Row| row.field("connections") == Some(1.0);
    weir.flows
        .until("both ends to be seen live", is_live, |rows| {
            ["src_port", "dst_port"]
                .iter()
                .all(|end| rows.iter().any(|row| row.tag(end) == text))
        })?;
    client.go_on()?;
    let (client, server) = (client.said()?, server.said()?);
    let (rows, served) = (weir.client(port, 1)?, weir.server(port, 1)?);
    for (rows, said, name) in [(&rows, client, "orders"), (&served, server, "billing")] {
        // Half of it was before, and so was its establishment.
        let since = [
            ("bytes_written", said.written / 2),
            ("bytes_read", said.read / 2),
            ("tcp_established", 0),
            ("tcp_closed", 1),
        ];
        sums(rows, name, &since)?;
        owned(rows, &said, name)?;
    }
    // The listener is known; for the client nothing but the ports tells: a guess, and marked.
    tagged(&served, "billing", "direction_source", "listen")?;
    tagged(&rows, "orders", "direction_source", "port")
}

/// A connection that one process accepts and another serves belongs to the latter.
///
/// # Errors
/// If a row is not right.
pub fn served_by_a_child(weir: &Watched) -> anyhow::Result<()> {
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let serve = "serve --listen 127.0.0.1:0 --in-child --expect 100 --send 100";
    let mut parent = billing.run(None, serve)?;
    let port = parent.port()?;
    let connect = format!("connect --to 127.0.0.1:{port} --send 100 --expect 100 --hold");
    let mut client = orders.run(None, &connect)?;
    client.go_on()?;
    client.step("held")?;
    // While it lives: a row with a live connection that is not the listener's.
    let listener = parent.pid().to_string();
    let is_childs = |row: &Row| server("tcp", port)(row) && row.tag("pid") != listener;
    let live = weir
        .flows
        .until("the child as the owner", is_childs, |rows| {
            rows.iter().any(|row| row.field("connections") == Some(1.0))
        })?;
    client.go_on()?;
    exact(&weir.client(port, 1)?, &client.said()?, "orders")?;
    let child = parent.said()?;
    ensure!(
        child.pid.to_string() != listener,
        "a child serves: {child:?}"
    );
    tagged(&live, "while it lives", "pid", &child.pid.to_string())?;

    let rows = weir.server(port, 1)?;
    let moved = [
        ("bytes_read", child.read),
        ("bytes_written", child.written),
        ("tcp_established", 1),
        ("tcp_closed", 1),
    ];
    sums(&rows, "both processes", &moved)?;
    for pid in [&listener, &child.pid.to_string()] {
        let last = rows.iter().rfind(|row| row.tag("pid") == *pid);
        let kept = last.and_then(|row| row.field("connections")).unwrap_or(0.0);
        ensure!(kept == 0.0, "{pid} keeps it after its end: {rows:?}");
    }
    Ok(())
}
