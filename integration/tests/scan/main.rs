//! A scan of many addresses. A program of its own: every agent on this host sees it, and the subscribers of
//! other stories would be flooded.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use weir_integration::{
    eventually,
    weir::{Agent, Gateway},
};

#[test]
fn a_scan_of_many_addresses_ends_the_period_early_and_loses_nothing() -> anyhow::Result<()> {
    let gateway = Gateway::start("")?;
    // By itself this period never ends.
    let _agent = Agent::start(gateway.flow, "  period: 1h\n")?;
    for number in 0..60_000_u32 {
        // Nobody listens at any of them.
        let scanned = SocketAddr::from((Ipv4Addr::from(0x7f20_0000 + number), 1));
        let refused = TcpStream::connect(scanned).map(drop);
        assert!(refused.is_err(), "{scanned}");
    }
    let metric = |name: &str, labels: &[&str]| {
        let value = gateway.metric(name, labels);
        value.map_err(|error| error.to_string())
    };
    eventually("the rows of the scan", || {
        let rows = metric("weir_agent_rows_total", &[])?;
        let failed = metric("weir_network_tcp_failed_total", &[])?;
        let lost = metric("weir_agent_records_lost_total", &["ring_full"])?;
        if rows >= 50_000.0 && failed >= 50_000.0 && lost == 0.0 {
            return Ok(());
        }
        Err(format!("{rows} rows, {failed} failed, {lost} lost"))
    })
}
