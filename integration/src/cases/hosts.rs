//! Hosts apart: two network namespaces on one wire.

use anyhow::ensure;

use crate::{
    flows::{Row, sum},
    netns::Netns,
    traffic::Program,
    watched::{Watched, exact, sums, tagged},
};

/// Both ends are seen, each in its namespace.
///
/// # Errors
/// If a row is not right.
pub fn both_ends(weir: &Watched) -> anyhow::Result<()> {
    let (left, right) = Netns::pair()?;
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    for address in ["10.99.0.2", "[fd99::2]"] {
        let serve =
            format!("serve --listen {address}:0 --expect 50000 --send 70000 --connections 5");
        let mut server = billing.run(Some(&right), &serve)?;
        let port = server.port()?;
        let connect =
            format!("connect --to {address}:{port} --send 50000 --expect 70000 --connections 5");
        let client = orders.run(Some(&left), &connect)?.said()?;
        let rows = weir.client(port, 5)?;
        exact(&rows, &client, "orders")?;
        tagged(&rows, "orders", "netns", &left.inode()?)?;
        let served = weir.server(port, 5)?;
        exact(&served, &server.said()?, "billing")?;
        tagged(&served, "billing", "netns", &right.inode()?)?;
        let latency = rows.iter().find_map(|row| {
            Some((
                row.field("connect_latency")?,
                row.field("connect_latency_max")?,
            ))
        });
        ensure!(
            latency.is_some_and(|(mean, most)| mean > 0.0 && mean <= most && most < 5e6),
            "connect_latency {latency:?}"
        );
    }
    Ok(())
}

/// What is sent again is counted once as bytes, and as the kernel counts it as retransmissions.
///
/// # Errors
/// If a row is not right.
pub fn lossy_wire(weir: &Watched) -> anyhow::Result<()> {
    let (left, right) = Netns::pair()?;
    // Every twentieth packet to the server is lost on the way.
    right.sh("nft add table ip loss; nft \"add chain ip loss in { type filter hook prerouting priority -300; }\"; nft add rule ip loss in tcp dport 5001 numgen inc mod 20 == 7 drop")?;
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let serve = "serve --listen 10.99.0.2:5001 --expect 5000000 --send 9";
    let mut server = billing.run(Some(&right), serve)?;
    let port = server.port()?;
    let before = left.nstat("TcpRetransSegs")?;
    let connect = format!("connect --to 10.99.0.2:{port} --send 5000000 --expect 9");
    let client = orders.run(Some(&left), &connect)?.said()?;

    let inside = left.inode()?;
    let rows: Vec<_> = weir.client(port, 1)?;
    // Only now has the connection ended: the kernel sends a lost FIN again after the program is gone.
    let resent = left.nstat("TcpRetransSegs")? - before;

    exact(&rows, &client, "orders")?;
    tagged(&rows, "orders", "netns", &inside)?;
    exact(&weir.server(port, 1)?, &server.said()?, "billing")?;
    ensure!(resent > 10, "the wire loses packets: {resent}");
    sums(&rows, "orders", &[("retransmits", resent)])
}

/// A connect that nobody answers is a failure with its reason.
///
/// # Errors
/// If a row is not right.
pub fn unanswered(weir: &Watched) -> anyhow::Result<()> {
    let (left, _right) = Netns::pair()?;
    // No neighbour at 10.99.0.9: the kernel gives up after three ARP requests.
    let client = Program::named("orders")?
        .run(Some(&left), "connect --to 10.99.0.9:7")?
        .said()?;
    ensure!(client.failed == 1, "{client:?}");
    // Not by namespace: the kernel may have given this one the number of one that is gone.
    let pick = |row: &Row| row.tag("dst_ip") == "10.99.0.9";
    let rows = weir.flows.until("the failed connect", pick, |rows| {
        sum(rows, "tcp_failed") > 0
    })?;
    sums(&rows, "unanswered", &[("tcp_failed", 1)])?;
    tagged(&rows, "unanswered", "netns", &left.inode()?)?;
    tagged(&rows, "unanswered", "reason", "unreachable")
}
