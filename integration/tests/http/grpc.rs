//! A real gRPC server and its clients.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::ensure;
use rustix::process::Signal;
use weir_integration::{
    eventually,
    flows::{Row, sum},
    packages,
    process::Running,
    watched::{Watched, tagged},
};

use crate::{http, watch};

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

/// Whether a client has connected to a server that does not run, and has said something.
fn has_been_spoken_to(port: u16) -> Result<(), String> {
    // It listens for both, IPv4 and IPv6.
    let sockets = fs::read_to_string("/proc/net/tcp6").map_err(|error| error.to_string())?;
    let local = format!(":{port:04X}");
    // Local address, remote address, state (1 is established), queues.
    let is_spoken_to = sockets.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, from, _, "01", queues, ..] = words[..] else {
            return false;
        };
        from.ends_with(&local) && !queues.ends_with(":00000000")
    });
    is_spoken_to.then_some(()).ok_or(sockets)
}

/// Two clients, which share a connection, make every kind of call, and what the server says of them is in the rows of
/// both sides. `messages` is how many an answer has that is a stream, and `length` of the longest message.
fn calls_are_counted(messages: u64, length: u64, client_is_first: bool) -> anyhow::Result<()> {
    let mut server = Running::start("the gRPC server", program()?.arg("serve"))?;
    let port: u16 = server.line(|line| line.strip_prefix("port ")?.parse().ok())?;
    let watched = watch("")?;
    if client_is_first {
        server.signal(Signal::STOP)?;
    }
    let arguments = [u64::from(port), ROUNDS, messages, length].map(|number| number.to_string());

    let mut clients = Running::start("the gRPC clients", program()?.arg("ask").args(arguments))?;
    if client_is_first {
        eventually("the client to speak", || has_been_spoken_to(port))?;
        server.signal(Signal::CONT)?;
    }
    let status = clients.ended()?;
    ensure!(status.success(), "{:#?}", clients.stderr());
    // Three times Echo, and nine others.
    let all = 2 * ROUNDS * 12;
    let served = eventually("the server to say it", || {
        let served = served(&server);
        let count: u64 = served.values().sum();
        (count == all)
            .then_some(served)
            .ok_or_else(|| count.to_string())
    })?;
    for side in ["incoming", "outgoing"] {
        let rows = is_as_served(&watched, side, port, &served)?;
        ended_as_they_should(&rows)?;
        let of_echo = |row: &Row| row.tag("path").ends_with("/Echo");
        let rows: Vec<_> = rows.into_iter().filter(of_echo).collect();
        let said = 2 * ROUNDS * (length + 10);
        // Besides, heads and frames.
        let all = said..said + said / 50 + 2 * ROUNDS * 1000;
        for field in ["bytes_read", "bytes_written"] {
            let moved = sum(&rows, field);
            ensure!(all.contains(&moved), "{field}: {moved}, not {all:?}");
        }
    }
    Ok(())
}

#[test]
fn calls_of_grpc_are_counted_with_the_status_that_the_server_gave() -> anyhow::Result<()> {
    calls_are_counted(10, 1000, true)
}

#[test]
fn calls_of_grpc_are_counted_if_the_server_speaks_first() -> anyhow::Result<()> {
    calls_are_counted(10, 1000, false)
}

#[test]
#[ignore = "the programs in the kernel follow 24 frames of a segment, and of what comes after more of them 16 KiB are seen"]
fn calls_of_grpc_are_counted_after_many_messages_and_with_large_ones() -> anyhow::Result<()> {
    calls_are_counted(500, 100_000, true)
}
