//! Connections that begin as HTTP/1 and go on as HTTP/2 (RFC 7540, 3.2).

use std::process::Command;

use anyhow::ensure;
use weir_integration::{eventually, flows::Row};

use crate::{
    http,
    servers::{Served, Server, seen},
    watch,
};

/// Connections.
const ROUNDS: u64 = 5;

/// Asks for these pages, for the first of them with an upgrade, and adds the answers that the client says it got. Apache
/// sometimes closes a connection that it has just taken over, and logs answers that it has not sent then.
fn ask(server: &Server, pages: &[&str], answered: &mut Served) -> anyhow::Result<()> {
    let urls = pages.iter().map(|page| server.url(page));
    let output = Command::new("nghttp")
        .args(["--upgrade", "--null-out", "--verbose"])
        .args(urls)
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    for line in String::from_utf8(output.stdout)?.lines() {
        let Some((_, said)) = line.split_once("recv (stream_id=") else {
            continue;
        };
        let Some((stream, status)) = said.split_once(") :status: ") else {
            continue;
        };
        // The upgraded request is stream 1; nghttp begins the others at 13 (it uses those before for priorities).
        let at = match stream.parse::<usize>()? {
            1 => 0,
            stream => (stream - 11) / 2,
        };
        let path = pages[at].split('?').next().unwrap_or_default();
        let kind = ("GET".to_owned(), path.to_owned(), status.parse()?);
        *answered.entry(kind).or_default() += 1;
    }
    Ok(())
}

/// What a client asks Apache for is counted on both sides. `more` is of the agent's configuration.
fn are_counted(pages: &[&str], more: &str) -> anyhow::Result<()> {
    let server = Server::apache("none")?;
    let watched = watch(more)?;
    let mut answered = Served::new();
    for _ in 0..ROUNDS {
        ask(&server, pages, &mut answered)?;
    }
    ensure!(!answered.is_empty(), "the client got no answers");
    let mut upgraded = 0;
    for side in ["incoming", "outgoing"] {
        let rows = eventually(side, || {
            let rows = watched.flows.rows(http(side, server.port));
            let mut seen = seen(&rows);
            seen.retain(|(_, _, status), _| *status != 0);
            (seen == answered)
                .then_some(rows)
                .ok_or_else(|| format!("{seen:#?}, not {answered:#?}"))
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
fn large_answers_after_an_upgrade_are_counted() -> anyhow::Result<()> {
    are_counted(&["/small", "/large", "/none"], "")
}
