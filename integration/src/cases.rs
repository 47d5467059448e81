//! Traffic with known numbers, compared with the rows that it gives. The stories run it on this host's kernel,
//! `weir-kernel-check` on others.

pub mod connections;
pub mod exchange;
pub mod hosts;
pub mod udp;

use crate::watched::Watched;

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What is done.
    pub name: &'static str,
    /// Does it, and fails if a row is not exactly right. The argument is the agent's configuration, for cases
    /// that start an agent of their own.
    pub check: fn(&Watched, &str) -> anyhow::Result<()>,
}

/// Every case about TCP.
#[must_use]
pub fn tcp() -> Vec<Case> {
    let others: [Case; 8] = [
        Case {
            name: "refused connects",
            check: |weir, _| connections::refused(weir),
        },
        Case {
            name: "1000 connections in a burst",
            check: |weir, _| connections::burst(weir, 1000),
        },
        Case {
            name: "live over several periods",
            check: |weir, _| connections::live(weir),
        },
        Case {
            name: "older than the agent",
            check: |_, agent| connections::older_than_the_agent(agent),
        },
        Case {
            name: "served by a child process",
            check: |weir, _| connections::served_by_a_child(weir),
        },
        Case {
            name: "two namespaces, IPv4 and IPv6",
            check: |weir, _| hosts::both_ends(weir),
        },
        Case {
            name: "5 MB over a wire that loses packets",
            check: |weir, _| hosts::lossy_wire(weir),
        },
        Case {
            name: "a connect that nobody answers",
            check: |weir, _| hosts::unanswered(weir),
        },
    ];
    exchange::CASES.into_iter().chain(others).collect()
}

/// Every case about UDP.
#[must_use]
pub fn udp() -> Vec<Case> {
    udp::CASES.into_iter().collect()
}
