//! Hosts that forbid eBPF.

use weir_integration::{
    cases::{self, exchange},
    watched::Watched,
};

use crate::check;

const AGENT: &str = "  hook: sock_diag\n";

#[test]
fn tcp_is_exact_without_any_ebpf() -> anyhow::Result<()> {
    check(&exchange::CASES[..6], AGENT)?;
    let others = [
        "live over several periods",
        "older than the agent",
        "two namespaces, IPv4 and IPv6",
    ];
    let chosen: Vec<_> = cases::tcp()
        .into_iter()
        .filter(|case| others.contains(&case.name))
        .collect();
    assert_eq!(chosen.len(), others.len());
    check(&chosen, AGENT)
}

#[test]
fn what_cannot_be_seen_without_ebpf_is_said() -> anyhow::Result<()> {
    let weir = Watched::start(AGENT)?;
    let hooks = weir.gateway.metrics()?;
    assert!(
        hooks
            .lines()
            .any(|line| line.starts_with("weir_agent_hook_info{")
                && line.contains(r#"event="udp""#)
                && line.contains(r#"hook="none""#)
                && line.contains("needs eBPF")),
        "{hooks}"
    );
    Ok(())
}
