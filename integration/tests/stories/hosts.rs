//! Hosts apart: two network namespaces on one wire.

use weir_integration::{cases::hosts, watched::Watched};

#[test]
fn both_ends_are_right_across_namespaces() -> anyhow::Result<()> {
    hosts::both_ends(&Watched::start("")?)
}

#[test]
fn retransmitted_bytes_are_counted_once_and_retransmissions_as_the_kernel_counts_them()
-> anyhow::Result<()> {
    hosts::lossy_wire(&Watched::start("")?)
}

#[test]
fn a_connect_that_nobody_answers_is_a_timeout_or_unreachable() -> anyhow::Result<()> {
    hosts::unanswered(&Watched::start("")?)
}
