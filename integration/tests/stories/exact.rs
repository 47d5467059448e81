//! Numbers that equal what the programs counted, on one host.

use weir_integration::{
    cases::{connections, exchange},
    flows::sum,
    netns::sh,
    traffic::Program,
    watched::{Watched, exact},
};

use crate::check;

const FALLBACK: &str = "  hook: raw_tracepoint\n";

#[test]
fn every_byte_is_counted_once_at_both_ends() -> anyhow::Result<()> {
    check(&exchange::CASES, "")
}

#[test]
fn the_raw_tracepoint_fallback_is_as_exact() -> anyhow::Result<()> {
    check(&exchange::CASES, FALLBACK)
}

#[test]
fn a_refused_connect_is_a_failure_with_its_reason() -> anyhow::Result<()> {
    connections::refused(&Watched::start("")?)
}

#[test]
fn a_connection_is_counted_while_it_lives() -> anyhow::Result<()> {
    connections::live(&Watched::start("")?)
}

#[test]
fn a_connection_older_than_the_agent_counts_from_its_start_on() -> anyhow::Result<()> {
    connections::older_than_the_agent("")
}

#[test]
fn the_fallback_adopts_older_connections_too() -> anyhow::Result<()> {
    connections::older_than_the_agent(FALLBACK)
}

#[test]
fn a_connection_is_owned_by_the_process_that_serves_it() -> anyhow::Result<()> {
    connections::served_by_a_child(&Watched::start("")?)
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
    exact(&weir.client(port, 1)?, &client.said()?, "orders")
}
