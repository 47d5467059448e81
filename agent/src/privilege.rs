//! What the agent may do, checked before the kernel says only `EPERM`.

use std::fs;

/// Capabilities of `include/uapi/linux/capability.h`, and what each is needed for.
const NEEDED: [(u32, &str, &str); 4] = [
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
    (
        19,
        "CAP_SYS_PTRACE",
        "name the executables and containers of other users' processes",
    ),
];

/// Capabilities that are missing.
#[derive(Debug, thiserror::Error)]
#[error(
    "missing {}: run the agent as root, or with {} (for systemd: AmbientCapabilities=; for Kubernetes: securityContext.capabilities)",
    .0.iter().map(|(name, what)| format!("{name} (to {what})")).collect::<Vec<_>>().join(", "),
    NEEDED.map(|(_, name, _)| name).join(" ")
)]
pub struct MissingCapabilities(Vec<(&'static str, &'static str)>);

/// Checks that this process has every capability that the collectors need.
///
/// # Errors
/// If one is missing; the message names each and what it is for.
pub fn check() -> Result<(), MissingCapabilities> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    check_status(&status)
}

fn check_status(status: &str) -> Result<(), MissingCapabilities> {
    let Some(effective) = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
    else {
        // Without the line nothing is known; the kernel will answer.
        return Ok(());
    };
    let missing: Vec<_> = NEEDED
        .iter()
        .filter(|(bit, ..)| effective >> bit & 1 == 0)
        .map(|(_, name, what)| (*name, *what))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(MissingCapabilities(missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_capability_is_named_with_its_purpose() {
        let error = check_status("Name:\tx\nCapEff:\t0000000000200000\n")
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
    fn root_has_them_all() {
        assert!(check_status("CapEff:\t000001ffffffffff\n").is_ok());
    }
}
