//! What the agent may do, checked before the kernel says only `EPERM`.

use std::fs;

use crate::config::Hook;

/// A capability of `include/uapi/linux/capability.h`, and what it is needed for.
type Capability = (u32, &'static str, &'static str);

const FOR_EBPF: [Capability; 4] = [
    (39, "CAP_BPF", "load eBPF programs and maps"),
    (
        38,
        "CAP_PERFMON",
        "attach to tracepoints and read kernel structs",
    ),
    (
        21,
        "CAP_SYS_ADMIN",
        "iterate over the files and sockets of every process and namespace",
    ),
    PROCESSES,
];

const WITHOUT_EBPF: [Capability; 3] = [
    (12, "CAP_NET_ADMIN", "be told of sockets that are closed"),
    (21, "CAP_SYS_ADMIN", "enter other network namespaces"),
    PROCESSES,
];

const PROCESSES: Capability = (
    19,
    "CAP_SYS_PTRACE",
    "name the executables and containers of other users' processes",
);

/// Capabilities that are missing.
#[derive(Debug, thiserror::Error)]
#[error(
    "missing {}: run the agent as root, or with {} (for systemd: AmbientCapabilities=; for Kubernetes: securityContext.capabilities)",
    .missing.iter().map(|(_, name, what)| format!("{name} (to {what})")).collect::<Vec<_>>().join(", "),
    .needed.iter().map(|(_, name, _)| *name).collect::<Vec<_>>().join(" ")
)]
pub struct MissingCapabilities {
    missing: Vec<Capability>,
    needed: &'static [Capability],
}

/// Checks that this process has every capability that it takes to observe TCP by `hook`.
///
/// # Errors
/// If one is missing; the message names each and what it is for.
pub fn check(hook: Hook) -> Result<(), MissingCapabilities> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    check_status(hook, &status)
}

fn check_status(hook: Hook, status: &str) -> Result<(), MissingCapabilities> {
    let Some(effective) = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
    else {
        // Without the line nothing is known; the kernel will answer.
        return Ok(());
    };
    let check = |needed: &'static [Capability]| {
        let has = |bit: u32| effective >> bit & 1 == 1;
        let missing: Vec<_> = needed
            .iter()
            .filter(|(bit, ..)| !has(*bit))
            .copied()
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(MissingCapabilities { missing, needed })
        }
    };
    match hook {
        Hook::SockDiag => check(&WITHOUT_EBPF),
        // What is left may be enough to go on without eBPF; the agent then says why it does.
        Hook::Auto if check(&WITHOUT_EBPF).is_ok() => Ok(()),
        Hook::Auto => check(&FOR_EBPF),
        Hook::BtfTracepoint | Hook::RawTracepoint => check(&FOR_EBPF),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_capability_is_named_with_its_purpose() {
        let error = check_status(Hook::Auto, "Name:\tx\nCapEff:\t0000000000200000\n")
            .unwrap_err()
            .to_string();
        for part in [
            "CAP_BPF (to load eBPF programs and maps)",
            "CAP_PERFMON",
            "CAP_SYS_PTRACE",
            "run the agent as root",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(!error.contains("CAP_SYS_ADMIN (to"), "{error}");
    }

    #[test]
    fn an_agent_without_the_right_to_use_ebpf_may_go_on_without_it() {
        // CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_SYS_ADMIN.
        let status = "CapEff:\t0000000000281000\n";
        assert!(check_status(Hook::Auto, status).is_ok());
        assert!(check_status(Hook::SockDiag, status).is_ok());
        assert!(check_status(Hook::BtfTracepoint, status).is_err());
    }

    #[test]
    fn root_has_them_all() {
        assert!(check_status(Hook::Auto, "CapEff:\t000001ffffffffff\n").is_ok());
    }
}
