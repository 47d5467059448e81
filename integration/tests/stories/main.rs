//! What a user gets from agent, gateway and command line together, on real traffic.
//!
//! The oracle is never weir itself: it is what the traffic programs counted of their own reads and writes,
//! the kernel's statistics, `ss`, and a real Prometheus.

#![expect(clippy::unwrap_used, reason = "a poisoned lock fails the story")]

mod burst;
mod constrained;
mod drop;
mod exact;
mod flow_export;
mod hosts;
mod live;
mod outputs;
mod pods;
mod trouble;
mod udp;
mod without_ebpf;

use weir_integration::{cases::Case, watched::Watched};

/// Runs cases, one after the other, under an agent whose `netflow` section is `agent`.
fn check(cases: &[Case], agent: &str) -> anyhow::Result<()> {
    let weir = Watched::start(agent)?;
    for case in cases {
        (case.check)(&weir, agent).map_err(|error| error.context(case.name))?;
    }
    Ok(())
}
