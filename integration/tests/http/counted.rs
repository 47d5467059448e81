//! What the kernel counts by itself.

use std::process::Command;

use anyhow::ensure;
use weir_integration::{flows::sum, watched::tagged};

use crate::{Watched, side};

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    ensure!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Four paths in turn, one of which is not there and one of which is a teapot's.
const PATHS: &str = r#"
local paths, at = { "/small.txt", "/none?of=this", "/teapot", "/small.txt?again" }, 0
request = function()
  at = at % 4 + 1
  return wrk.format("GET", paths[at])
end
"#;

fn load(watched: &Watched, more: &[&str]) -> anyhow::Result<()> {
    let script = watched.nginx.folder().join("paths.lua");
    std::fs::write(&script, PATHS)?;
    let url = format!("http://{}/", watched.nginx.http1);
    let script = script.display().to_string();
    let mut arguments = vec!["-t1", "-c8", "-d3s", "-s", &script];
    arguments.extend(more);
    arguments.push(&url);
    run("wrk", &arguments)?;
    Ok(())
}

#[test]
fn requests_over_connections_that_are_kept_are_counted_as_the_server_logs_them()
-> anyhow::Result<()> {
    let watched = Watched::start("")?;
    load(&watched, &[])?;
    let port = watched.nginx.http1.port();
    watched.server_is_as_logged(port, None)?;
    let logged: u64 = watched
        .nginx
        .log()?
        .values()
        .map(|logged| logged.count)
        .sum();
    ensure!(logged > 1000, "only {logged} requests");
    let rows = watched.client_asked(port, logged)?;
    tagged(&rows, "client", "process_name", "wrk")?;
    tagged(&rows, "client", "http_version", "1.1")?;
    let rows = watched.flows.rows(side("incoming", port));
    tagged(&rows, "server", "process_name", "nginx")?;
    tagged(&rows, "server", "route", "/small.txt").unwrap_err();
    Ok(())
}

#[test]
fn requests_over_connections_of_their_own_are_counted_as_the_server_logs_them() -> anyhow::Result<()>
{
    let watched = Watched::start("")?;
    load(&watched, &["-H", "Connection: close"])?;
    watched.server_is_as_logged(watched.nginx.http1.port(), None)
}

#[test]
fn bodies_count_to_the_byte_in_both_directions() -> anyhow::Result<()> {
    let watched = Watched::start("")?;
    let upload = watched.nginx.folder().join("upload");
    std::fs::write(&upload, vec![1; 1_500_000])?;
    let base = format!("http://{}", watched.nginx.http1);
    let upload = format!("@{}", upload.display());
    let large = format!("{base}/large.bin");
    let sink = format!("{base}/upload");
    let missing = format!("{base}/missing");
    let small = format!("{base}/small.txt");
    run(
        "curl",
        &["-sS", "-o", "/dev/null", &large, "-o", "/dev/null", &small],
    )?;
    run("curl", &["-sS", "-I", &small])?;
    run("curl", &["-sS", "--data-binary", &upload, &sink])?;
    run(
        "curl",
        &[
            "-sS",
            "-H",
            "Transfer-Encoding: chunked",
            "--data-binary",
            &upload,
            &sink,
        ],
    )?;
    run("curl", &["-sS", "--http1.0", &missing])?;
    let port = watched.nginx.http1.port();
    watched.server_is_as_logged(port, Some(6))?;
    let rows = watched.flows.rows(side("outgoing", port));
    let of_curl: Vec<_> = rows
        .into_iter()
        .filter(|row| row.tag("process_name") == "curl")
        .collect();
    ensure!(sum(&of_curl, "bytes_read") > 3_000_000, "{of_curl:?}");
    ensure!(sum(&of_curl, "bytes_written") > 3_000_000, "{of_curl:?}");
    Ok(())
}
