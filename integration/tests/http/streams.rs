//! What the agent makes out from streams.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
};

use anyhow::ensure;
use weir_integration::{eventually, flows::sum};

use crate::{Watched, side};

#[test]
fn requests_that_a_client_sends_all_at_once_are_each_counted() -> anyhow::Result<()> {
    let watched = Watched::start("")?;
    let mut client = TcpStream::connect(watched.nginx.http1)?;
    let request =
        |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: here\r\n{more}\r\n");
    // Three in one segment, and one more before the first is answered.
    let three = request("/small.txt", "") + &request("/teapot", "") + &request("/small.txt", "");
    client.write_all(three.as_bytes())?;
    client.write_all(request("/none", "Connection: close\r\n").as_bytes())?;
    let mut answers = String::new();
    client.read_to_string(&mut answers)?;
    ensure!(answers.matches("HTTP/1.1 ").count() == 4, "{answers}");
    watched.server_is_as_logged(watched.nginx.http1.port(), Some(4))
}

#[test]
fn http2_requests_on_many_streams_are_counted_as_the_server_logs_them() -> anyhow::Result<()> {
    let watched = Watched::start("")?;
    let at = watched.nginx.http2;
    let output = Command::new("h2load")
        .args(["-n", "4000", "-c", "4", "-m", "10", "--no-tls-proto=h2c"])
        .args(["/small.txt", "/teapot", "/none"].map(|path| format!("http://{at}{path}")))
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    let rows = watched
        .flows
        .until("the server's rows", side("incoming", at.port()), |rows| {
            sum(rows, "count") >= 4000
        })?;
    // It logs after it has answered.
    let logged = eventually("the server's log", || {
        let logged = watched.nginx.log().map_err(|error| error.to_string())?;
        match logged.values().map(|logged| logged.count).sum::<u64>() {
            4000 => Ok(logged),
            other => Err(format!("{other} lines")),
        }
    })?;
    for ((method, path, status), logged) in logged {
        let of_kind: Vec<_> = rows
            .iter()
            .filter(|row| {
                row.tag("method") == method
                    && row.tag("path") == path
                    && row.field("status_code") == Some(f64::from(status))
            })
            .cloned()
            .collect();
        let counted = sum(&of_kind, "count");
        ensure!(
            counted == logged.count,
            "{path}: {counted}, not {}",
            logged.count
        );
    }
    Ok(())
}
