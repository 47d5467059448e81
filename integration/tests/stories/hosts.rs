//! Hosts apart: two network namespaces on one wire.

use weir_integration::{
    flows::{Row, sum},
    netns::Netns,
    process::Running,
    traffic::Program,
};

use crate::{Watched, assert_exact};

#[test]
fn both_ends_are_right_across_namespaces() -> anyhow::Result<()> {
    let weir = Watched::start("")?;
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
        assert_exact(&rows, &client, "orders", address);
        let served = weir.server(port, 5)?;
        assert_exact(&served, &server.said()?, "billing", address);
        let (inside, there) = (left.inode()?, right.inode()?);
        assert!(
            rows.iter().all(|row| row.tag("netns") == inside),
            "{rows:?}"
        );
        assert!(
            served.iter().all(|row| row.tag("netns") == there),
            "{served:?}"
        );
        let latency = rows.iter().find_map(|row| {
            Some((
                row.field("connect_latency")?,
                row.field("connect_latency_max")?,
            ))
        });
        assert!(
            latency.is_some_and(|(mean, most)| mean > 0.0 && mean <= most && most < 5e6),
            "{latency:?}"
        );
    }
    Ok(())
}

#[test]
fn retransmitted_bytes_are_counted_once_and_retransmissions_as_the_kernel_counts_them()
-> anyhow::Result<()> {
    let weir = Watched::start("")?;
    let (left, right) = Netns::pair()?;
    // Every twentieth packet to the server is lost on the way.
    right.sh("nft add table ip loss; nft \"add chain ip loss in { type filter hook prerouting priority -300; }\"; nft add rule ip loss in tcp dport 5001 numgen inc mod 20 == 7 drop")?;
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let mut server = billing.run(
        Some(&right),
        "serve --listen 10.99.0.2:5001 --expect 5000000 --send 9",
    )?;
    let port = server.port()?;
    let before = left.nstat("TcpRetransSegs")?;
    let client = orders
        .run(
            Some(&left),
            &format!("connect --to 10.99.0.2:{port} --send 5000000 --expect 9"),
        )?
        .said()?;

    let rows = weir.client(port, 1)?;

    // Only now has the connection ended: the kernel sends a lost FIN again after the program is gone.
    let resent = left.nstat("TcpRetransSegs")? - before;

    assert_exact(&rows, &client, "orders", "lossy wire");
    assert_exact(
        &weir.server(port, 1)?,
        &server.said()?,
        "billing",
        "lossy wire",
    );
    assert!(resent > 10, "the wire loses packets: {resent}");
    assert_eq!(sum(&rows, "retransmits"), resent);
    Ok(())
}

#[test]
fn a_connect_that_nobody_answers_is_a_timeout_or_unreachable() -> anyhow::Result<()> {
    let weir = Watched::start("")?;
    let (left, _right) = Netns::pair()?;
    // No neighbour at 10.99.0.9: the kernel gives up after three ARP requests.
    let client = Program::named("orders")?
        .run(Some(&left), "connect --to 10.99.0.9:7")?
        .said()?;
    assert_eq!(client.failed, 1);
    let inside = left.inode()?;
    let pick = |row: &Row| row.tag("netns") == inside;
    let rows = weir.flows.until("the failed connect", pick, |rows| {
        sum(rows, "tcp_failed") > 0
    })?;
    assert_eq!(
        (sum(&rows, "tcp_failed"), rows[0].tag("reason")),
        (1, "unreachable"),
        "{rows:?}"
    );
    Ok(())
}

#[test]
fn a_connection_is_owned_by_the_process_that_serves_it() -> anyhow::Result<()> {
    // socat listens in one process and serves in a child; the child holds the socket.
    let weir = Watched::start("")?;
    let (left, right) = Netns::pair()?;
    let mut server = Running::start(
        "socat",
        std::process::Command::new("ip")
            .args(["netns", "exec", right.name()])
            .args([
                "socat",
                "-d",
                "-d",
                "TCP4-LISTEN:5002,fork,reuseaddr",
                "EXEC:cat",
            ]),
    )?;
    server.line(|line| line.contains("listening on").then_some(()))?;
    let mut client = Program::named("orders")?.run(
        Some(&left),
        "connect --to 10.99.0.2:5002 --send 100 --expect 100 --hold",
    )?;
    client.go_on()?;
    client.step("held")?;

    let ss = right.sh("ss -tnpH state established sport = :5002")?;
    let holder = ss
        .split_once("pid=")
        .and_then(|(_, rest)| rest.split(',').next())
        .unwrap_or_default()
        .to_owned();
    assert_ne!(holder, server.pid().to_string(), "a child serves: {ss}");
    let rows = weir.flows.until(
        "the serving child as the owner",
        |row| row.tag("src_port") == "5002",
        |rows| {
            rows.iter()
                .any(|row| row.tag("pid") == holder && row.field("connections") == Some(1.0))
        },
    )?;
    let listener = rows
        .iter()
        .rfind(|row| row.tag("pid") == server.pid().to_string());
    let stale = listener
        .and_then(|row| row.field("connections"))
        .unwrap_or(0.0);
    assert_eq!(stale, 0.0, "the listener does not keep it: {rows:?}");
    assert_eq!(sum(&rows, "tcp_established"), 1);
    client.go_on()?;
    Ok(())
}
