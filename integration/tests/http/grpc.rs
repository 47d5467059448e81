//! A real gRPC server and its clients.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::ensure;
use weir_integration::{
    eventually,
    flows::{Row, sum},
    packages,
    process::Running,
    watched::{Watched, tagged},
};

use crate::{http, lost_nothing, watch};

/// Both clients do everything so often.
const ROUNDS: u64 = 20;

/// Path, and what came of it: a status of gRPC, or `-` where the client did not wait for one.
type Calls = BTreeMap<(String, String), u64>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/grpc")
}

fn program() -> anyhow::Result<Command> {
    let python = packages::python("grpc", &folder().join("requirements.txt"))?;
    let mut command = Command::new(python);
    command.arg(folder().join("calls.py"));
    Ok(command)
}

/// What the server says that it has answered.
fn served(server: &Running) -> Calls {
    let mut calls = Calls::new();
    for line in server.stdout() {
        if let ["served", path, status] = line.split(' ').collect::<Vec<_>>()[..] {
            *calls.entry((path.into(), status.into())).or_default() += 1;
        }
    }
    calls
}

fn seen(rows: &[Row]) -> Calls {
    let mut calls = Calls::new();
    for row in rows {
        let status = row.field("grpc_status");
        let status = status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let count = row.field("count").unwrap_or_default() as u64;
        *calls.entry((row.tag("path").into(), status)).or_default() += count;
    }
    calls
}

/// The server gives up a call at its deadline too: whoever is first says so to the other.
fn without_deadlines(calls: &Calls) -> Calls {
    let mut merged = Calls::new();
    for ((path, status), count) in calls {
        let is_given_up = path.ends_with("/Stuck") && status == "4";
        let status = if is_given_up { "-" } else { status };
        *merged.entry((path.clone(), status.to_owned())).or_default() += count;
    }
    merged
}

/// Waits until the rows of one side say what the server says.
fn is_as_served(
    watched: &Watched,
    side: &'static str,
    port: u16,
    served: &Calls,
) -> anyhow::Result<Vec<Row>> {
    eventually(side, || {
        let rows = watched.flows.rows(http(side, port));
        let seen = without_deadlines(&seen(&rows));
        let is_same = seen == *served;
        is_same
            .then_some(rows)
            .ok_or_else(|| format!("{seen:#?}, not {served:#?}"))
    })
}

fn ended_as_they_should(rows: &[Row]) -> anyhow::Result<()> {
    tagged(rows, "gRPC", "method", "POST")?;
    tagged(rows, "gRPC", "http_version", "2")?;
    for row in rows {
        let is_given_up = row.tag("path").ends_with("/Stuck") && row.field("grpc_status").is_none();
        let expected = if is_given_up {
            (Some(0.0), "reset")
        } else {
            (Some(200.0), "")
        };
        let ended = (row.field("status_code"), row.tag("reason"));
        ensure!(ended == expected, "{row:?}");
    }
    Ok(())
}

#[test]
fn calls_of_grpc_are_counted_with_the_status_that_the_server_gave() -> anyhow::Result<()> {
    let mut server = Running::start("the gRPC server", program()?.arg("serve"))?;
    let port: u16 = server.line(|line| line.strip_prefix("port ")?.parse().ok())?;
    let watched = watch("")?;
    let (to, rounds) = (port.to_string(), ROUNDS.to_string());
    packages::run(program()?.args(["ask", &to, &rounds]))?;
    // Three times Echo, and eight others.
    let all = 2 * ROUNDS * 12;
    let served = eventually("the server to say it", || {
        let served = served(&server);
        let count: u64 = served.values().sum();
        (count == all)
            .then_some(served)
            .ok_or_else(|| count.to_string())
    })?;
    for side in ["incoming", "outgoing"] {
        ended_as_they_should(&is_as_served(&watched, side, port, &served)?)?;
    }
    let echo = |row: &Row| http("outgoing", port)(row) && row.tag("path") == "/story.Calls/Echo";
    let rows = watched.flows.rows(echo);
    let sent = 2 * ROUNDS * 100_010;
    for field in ["bytes_read", "bytes_written"] {
        let moved = sum(&rows, field);
        ensure!(
            (sent..sent + sent / 50).contains(&moved),
            "{field}: {moved}"
        );
    }
    lost_nothing(&watched)
}
