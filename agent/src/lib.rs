//! The node agent: collectors, facts of the node, and the uplink to the gateway.

mod btf;
pub mod config;
pub mod host;
pub mod netflow;
pub mod privilege;
mod process;
pub mod status;
pub mod uplink;

/// An error and all its causes in one line, for the log.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
