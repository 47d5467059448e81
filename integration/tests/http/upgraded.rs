//! Connections that begin as HTTP/1 and go on as HTTP/2 (RFC 7540, 3.2).

use std::process::Command;

use anyhow::ensure;
use weir_integration::{eventually, flows::Row, packages::run};

use crate::{
    http, lost_nothing,
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
    lost_nothing(&watched)
}

#[test]
fn a_request_that_asks_for_http2_is_counted_with_the_answer_that_comes_there() -> anyhow::Result<()>
{
    let spans = "  spans:\n    enabled: true\n";
    are_counted(&["/small", "/none", "/small?again"], spans)
}

#[test]
#[ignore = "the programs in the kernel take the connection for HTTP/1, or leave it alone after the 101"]
fn an_upgraded_connection_is_counted_by_the_kernel_too() -> anyhow::Result<()> {
    are_counted(&["/small", "/large", "/none"], "")
}
