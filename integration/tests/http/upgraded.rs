//! Connections that begin as HTTP/1 and go on as HTTP/2 (RFC 7540, 3.2).

use std::process::Command;

use anyhow::ensure;
use weir_integration::{eventually, flows::Row, packages::run};

use crate::{
    http,
    servers::{Server, seen},
    watch,
};

/// Connections.
const ROUNDS: u64 = 5;

/// Asks Apache for these pages, for the first of them with an upgrade. `more` is of the agent's configuration.
fn are_counted(pages: &[&str], more: &str) -> anyhow::Result<()> {
    let server = Server::apache("none")?;
    let watched = watch(more)?;
    let urls: Vec<_> = pages.iter().map(|page| server.url(page)).collect();
    for _ in 0..ROUNDS {
        run(Command::new("nghttp")
            .args(["--upgrade", "--null-out"])
            .args(&urls))?;
    }
    let mut upgraded = 0;
    for side in ["incoming", "outgoing"] {
        let rows = eventually(side, || {
            // It logs the 101 too, which is no answer.
            let mut served = server.served();
            served.retain(|(_, _, status), _| *status != 101);
            let rows = watched.flows.rows(http(side, server.port));
            let mut seen = seen(&rows);
            // It sometimes closes a connection that it has just taken over.
            seen.retain(|(_, _, status), _| *status != 0);
            let is_same = !seen.is_empty() && seen == served;
            is_same
                .then_some(rows)
                .ok_or_else(|| format!("{seen:#?}, not {served:#?}"))
        })?;
        let began = |row: &&Row| row.tag("http_version") == "1.1";
        let counts = rows
            .iter()
            .filter(began)
            .filter_map(|row| row.field("count"));
        upgraded += counts.sum::<f64>() as u64;
    }
    ensure!(upgraded == 2 * ROUNDS, "{upgraded} began with HTTP/1");
    Ok(())
}

/// Pages whose answers are small.
const SMALL: [&str; 3] = ["/small", "/none", "/small?again"];

#[test]
fn a_request_that_asks_for_http2_is_counted_with_the_answer_that_comes_there() -> anyhow::Result<()>
{
    are_counted(&SMALL, "  spans:\n    enabled: true\n")
}

#[test]
fn the_kernel_counts_requests_that_ask_for_http2_too() -> anyhow::Result<()> {
    are_counted(&SMALL, "")
}

#[test]
#[ignore = "the programs in the kernel lose sight of the frames"]
fn large_answers_after_an_upgrade_are_counted() -> anyhow::Result<()> {
    are_counted(&["/small", "/large", "/none"], "")
}
