//! More connections than anybody can look at, and the ledger that accounts for each.

use rustix::process::Signal;
use weir_integration::{
    cases::connections::{burst, short_connections},
    eventually,
    watched::Watched,
};

const COUNT: u64 = 10_000;

#[test]
fn ten_thousand_connections_in_a_burst_are_all_there() -> anyhow::Result<()> {
    let weir = Watched::start("")?;
    burst(&weir, COUNT)?;

    // `in = out + dropped` at every stage, and dropped = 0.
    eventually("the ledger to balance", || {
        let emitted = weir.metric("weir_agent_records_emitted_total", &[])?;
        let read = weir.metric("weir_agent_records_read_total", &[])?;
        // Ends of connections that other stories began before this agent started are not of this burst.
        let older = weir.metric("weir_agent_records_lost_total", &["unknown_connection"])?;
        let lost = weir.metric("weir_agent_records_lost_total", &[])? - older;
        let rows = weir.metric("weir_agent_uplink_rows_total", &[])?;
        let acked = weir.metric("weir_agent_uplink_rows_acked_total", &[])?;
        let dropped = weir.metric("weir_agent_uplink_rows_dropped_total", &[])?;
        let balanced = emitted >= 2.0 * COUNT as f64
            && emitted == read
            && rows > 0.0
            && rows == acked + dropped;
        if balanced && lost == 0.0 && dropped == 0.0 {
            return Ok(());
        }
        Err(format!(
            "emitted {emitted}, read {read}, lost {lost}; rows {rows}, acked {acked}, dropped {dropped}"
        ))
    })
}

#[test]
fn what_a_ring_that_is_too_small_loses_is_counted() -> anyhow::Result<()> {
    let weir = Watched::start("  ring: 64KiB\n")?;
    // The agent cannot read while it is stopped, so the ring fills.
    weir.agent.process.signal(Signal::STOP)?;
    let (port, ..) = short_connections(COUNT)?;
    weir.agent.process.signal(Signal::CONT)?;

    let closed = |end: &str| {
        weir.metric(
            "weir_network_tcp_closed_total",
            &[&format!("{end}=\"{port}\"")],
        )
    };
    eventually("the ledger to explain what is missing", || {
        let emitted = weir.metric("weir_agent_records_emitted_total", &[])?;
        let read = weir.metric("weir_agent_records_read_total", &[])?;
        let lost = weir.metric("weir_agent_records_lost_total", &["ring_full"])? as u64;
        let seen = (closed("destination_port")? + closed("source_port")?) as u64;
        // Other stories run meanwhile and may lose ends of theirs: at most, not exactly.
        let explained = seen < 2 * COUNT && 2 * COUNT - seen <= lost;
        if emitted == read && explained {
            return Ok(());
        }
        Err(format!("{emitted} {read}; {seen} seen, {lost} lost"))
    })
}
