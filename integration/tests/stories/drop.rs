//! Drop rules: what they drop is not in the rows, but counted; everything else is exact.

use std::net::UdpSocket;

use anyhow::ensure;
use weir_integration::{
    eventually,
    flows::Row,
    traffic::{Program, Said},
    watched::{Watched, client, exact, server, sums},
};

/// Rows of either end of flows to `port`.
fn about(port: u16) -> impl Fn(&Row) -> bool {
    let port = port.to_string();
    move |row| row.tag("src_port") == port || row.tag("dst_port") == port
}

/// Waits until the rule `scrapes` is said to have dropped so much.
fn dropped(weir: &Watched, expected: &[(&str, u64)]) -> anyhow::Result<()> {
    for (what, amount) in expected {
        eventually(&format!("{amount} {what} dropped"), || {
            let name = format!("weir_agent_netflow_dropped_{what}_total");
            match weir.metric(&name, &[r#"cause="scrapes""#])? {
                found if found == *amount as f64 => Ok(()),
                found => Err(format!("{found}")),
            }
        })?;
    }
    Ok(())
}

/// A UDP port that nobody has.
fn free_port() -> anyhow::Result<u16> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn bytes(of: [&Said; 2]) -> u64 {
    of.iter().map(|said| said.read + said.written).sum()
}

#[test]
fn connections_that_a_rule_drops_are_in_no_row_and_counted_to_the_byte() -> anyhow::Result<()> {
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let (scraper, metrics) = (Program::named("scraper")?, Program::named("metrics")?);
    let serve = "serve --listen 127.0.0.1:0 --expect 4000 --send 600000";
    let mut serving = billing.run(None, serve)?;
    let mut exposing = metrics.run(None, serve)?;
    let (kept_port, dropped_port) = (serving.port()?, exposing.port()?);
    let weir = Watched::start(&format!(
        "drop:\n  scrapes: {{port: {dropped_port}, cidr: 127.0.0.0/8, process: [metrics, 'scrap*']}}\n  \
         nobody: {{port: {kept_port}, process: nobody}}\n"
    ))?;
    let connect = |program: &Program, port| {
        let arguments = format!("connect --to 127.0.0.1:{port} --send 4000 --expect 600000");
        program.run(None, &arguments)?.said()
    };
    let scraped = connect(&scraper, dropped_port)?;
    let exposed = exposing.said()?;
    let said = connect(&orders, kept_port)?;
    let served = serving.said()?;

    exact(&weir.client(kept_port, 1)?, &said, "orders")?;
    exact(&weir.server(kept_port, 1)?, &served, "billing")?;
    let moved = bytes([&scraped, &exposed]);
    ensure!(moved == 2 * 604_000, "{scraped:?} {exposed:?}");
    dropped(&weir, &[("connections", 2), ("bytes", moved)])?;
    let rows = weir.flows.rows(about(dropped_port));
    ensure!(rows.is_empty(), "{rows:?}");
    Ok(())
}

#[test]
fn datagrams_that_a_rule_drops_are_in_no_row_and_counted() -> anyhow::Result<()> {
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let dropped_port = free_port()?;
    let weir = Watched::start(&format!(
        "drop:\n  scrapes: {{transport: udp, port: {dropped_port}}}\n"
    ))?;
    let serve = |port: u16| {
        let arguments = format!("udp-serve --listen 127.0.0.1:{port} --requests 100 --send 512");
        billing.run(None, &arguments)
    };
    let (mut kept, mut noise) = (serve(0)?, serve(dropped_port)?);
    let kept_port = kept.port()?;
    noise.port()?;
    let connect = |port| {
        let arguments = format!("udp-connect --to 127.0.0.1:{port} --send 48 --rounds 100");
        orders.run(None, &arguments)?.said()
    };
    let noisy = connect(dropped_port)?;
    let answered = noise.said()?;
    let said = connect(kept_port)?;
    let served = kept.said()?;
    weir.settle()?;

    for (rows, said) in [
        (weir.flows.rows(client("udp", kept_port)), &said),
        (weir.flows.rows(server("udp", kept_port)), &served),
    ] {
        let moved = [
            ("bytes_written", said.written),
            ("bytes_read", said.read),
            ("packets_written", said.datagrams_written),
            ("packets_read", said.datagrams_read),
        ];
        sums(&rows, "kept", &moved)?;
    }
    let moved = bytes([&noisy, &answered]);
    dropped(&weir, &[("packets", 400), ("bytes", moved)])?;
    let rows = weir.flows.rows(about(dropped_port));
    ensure!(rows.is_empty(), "{rows:?}");
    Ok(())
}
