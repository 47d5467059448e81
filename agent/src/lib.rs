//! The node agent: collectors, facts of the node, and the uplink to the gateway.

pub mod agent;
#[doc(hidden)]
pub mod btf;
#[doc(hidden)]
pub mod capture;
mod cgroup;
pub mod config;
mod container;
pub mod dnsflow;
pub mod drop;
pub mod host;
pub mod httpflow;
pub mod names;
pub mod namespaces;
pub mod netflow;
pub mod netlink;
pub mod open_sockets;
pub mod owners;
pub mod privilege;
mod process;
pub mod self_telemetry;
pub mod status;
pub mod tls;
pub mod uplink;

/// An error and all its causes in one line, for the log. A cause that the error before it has quoted already is
/// left out.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        next = cause.source();
    }
    line
}
