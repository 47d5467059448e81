//! Hosts that forbid eBPF.

use anyhow::Context as _;
use weir_integration::{
    cases,
    traffic::Program,
    watched::{Watched, sums},
};

use crate::check;

const AGENT: &str = "  hook: sock_diag\n";

#[test]
fn the_numbers_of_tcp_are_exact_without_any_ebpf() -> anyhow::Result<()> {
    let weir = Watched::start(AGENT)?;
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    for (address, up, down) in [
        ("127.0.0.1", 0, 0),
        ("127.0.0.1", 1, 1),
        ("127.0.0.1", 20_000_000, 3_000_000),
        ("[::1]", 12_345, 54_321),
    ] {
        let serve = format!("serve --listen {address}:0 --expect {up} --send {down}");
        let mut serving = billing.run(None, &serve)?;
        let port = serving.port()?;
        // A listener is known from the first pass that finds it.
        weir.settle()?;
        let connect = format!("connect --to {address}:{port} --send {up} --expect {down}");
        let asked = orders.run(None, &connect)?.said()?;
        let served = serving.said()?;
        for (rows, said, what) in [
            (weir.client(port, 1)?, asked, "client"),
            (weir.server(port, 1)?, served, "server"),
        ] {
            let expected = [
                ("bytes_written", said.written),
                ("bytes_read", said.read),
                ("tcp_established", 1),
                ("tcp_closed", 1),
            ];
            sums(&rows, what, &expected)?;
        }
    }
    Ok(())
}

#[test]
fn connections_that_live_longer_have_their_owner_too() -> anyhow::Result<()> {
    let lives = cases::tcp()
        .into_iter()
        .find(|case| case.name == "live over several periods");
    check(&[lives.context("the case")?], AGENT)
}

#[test]
fn what_cannot_be_seen_without_ebpf_is_said() -> anyhow::Result<()> {
    let weir = Watched::start(AGENT)?;
    let udp = weir.hook("udp")?;
    assert_eq!(udp, ("none".to_owned(), "needs eBPF".to_owned()));
    Ok(())
}
