//! Go's own TLS, of the Go that is installed and, if it is there, of Debian's older one.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use weir_ebpf_common::http::protocol;
use weir_integration::{eventually, process::Running};

use crate::{
    Reading, Seen,
    site::{Certificate, Logged},
    told,
};

const SOURCE: &str = include_str!("server.go");
/// Where Debian has the Go of its own release.
const OLDER: &str = "/usr/lib/go-1.19/bin/go";

/// Builds the program; `stripped` leaves out its symbols.
fn build(certificate: &Certificate, go: &str, stripped: bool) -> anyhow::Result<PathBuf> {
    let folder = certificate.folder();
    fs::write(folder.join("server.go"), SOURCE)?;
    let program = folder.join("go-program");
    let mut command = Command::new(go);
    command.args(["build", "-o"]).arg(&program);
    if stripped {
        command.args(["-ldflags", "-s -w"]);
    }
    let output = command
        .arg("server.go")
        .current_dir(&folder)
        .envs([
            ("CGO_ENABLED", "0"),
            ("GO111MODULE", "off"),
            ("GOTOOLCHAIN", "local"),
        ])
        .output()
        .with_context(|| format!("failed to start {go}"))?;
    ensure!(output.status.success(), "{output:?}");
    Ok(program)
}

/// What the server says that it has served.
fn served(server: &Running) -> BTreeSet<Logged> {
    let lines = server.stdout();
    let served = lines.iter().filter_map(|line| {
        let mut words = line.strip_prefix("served ")?.split('|');
        let mut word = || words.next();
        Some((
            word()?.parse().ok()?,
            word()?.to_owned(),
            word()?.parse().ok()?,
        ))
    });
    served.collect()
}

struct Pair {
    certificate: Certificate,
    program: PathBuf,
    server: Running,
    port: u16,
}

impl Pair {
    fn start(go: &str, stripped: bool, http1: bool) -> anyhow::Result<Self> {
        let certificate = Certificate::new()?;
        let program = build(&certificate, go, stripped)?;
        let mut command = Command::new(&program);
        command.current_dir(certificate.folder());
        if http1 {
            command.env("HTTP1", "1");
        }
        let mut server = Running::start("the Go server", &mut command)?;
        let port = server.line(|line| line.strip_prefix("port ")?.parse().ok())?;
        Ok(Self {
            certificate,
            program,
            server,
            port,
        })
    }

    fn ask(&self, paths: &[&str]) -> anyhow::Result<()> {
        let urls = paths
            .iter()
            .map(|path| format!("https://127.0.0.1:{}{path}", self.port));
        let output = Command::new(&self.program)
            .args(urls)
            .current_dir(self.certificate.folder())
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(())
    }
}

/// Requests to a Go server are read on both sides as the server says them.
fn is_read(go: &str, stripped: bool) -> anyhow::Result<()> {
    let pair = Pair::start(go, stripped, true)?;
    let mut reading = Reading::start(&pair.certificate.chosen("file"))?;
    reading.probes_in(1)?;
    pair.ask(&["/a", "/teapot", "/large", "/b"])?;
    let expected = eventually("the server to say it", || {
        let served = served(&pair.server);
        if served.len() == 4 {
            Ok(served)
        } else {
            Err(format!("{served:?}"))
        }
    })?;
    let is_server = |seen: &Seen| seen.local().port() == pair.port;
    let seen = reading.until("both sides", |seen| {
        let (server, client): (Vec<_>, Vec<_>) = seen.iter().cloned().partition(is_server);
        told(&server, true) == expected && told(&client, false) == expected
    })?;
    ensure!(seen.iter().all(|seen| seen.process() == "go-program"));
    ensure!(
        reading.counter("tls_linked", "descriptor") == 2,
        "{:?}",
        reading.counters()
    );
    // The program goes on: nothing has broken its stacks.
    pair.ask(&["/c"])
}

#[test]
fn a_go_program_is_read_in_both_roles() -> anyhow::Result<()> {
    is_read("go", false)
}

#[test]
fn a_go_program_without_symbols_is_read_too() -> anyhow::Result<()> {
    is_read("go", true)
}

#[test]
fn a_go_program_of_debians_release_is_read_with_symbols_and_without() -> anyhow::Result<()> {
    if !Path::new(OLDER).exists() {
        return Ok(());
    }
    is_read(OLDER, false)?;
    is_read(OLDER, true)
}

#[test]
fn http2_of_go_is_recognised() -> anyhow::Result<()> {
    let pair = Pair::start("go", false, false)?;
    let mut reading = Reading::start(&pair.certificate.chosen("process"))?;
    reading.probes_in(1)?;
    let url = format!("https://127.0.0.1:{}/a", pair.port);
    let output = Command::new("curl")
        .args(["--silent", "--http2", "--cacert", "cert.pem", &url])
        .current_dir(pair.certificate.folder())
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    let seen = reading.until("both directions", |seen| {
        seen.iter().any(Seen::is_sent) && seen.iter().any(|seen| seen.text().starts_with("PRI "))
    })?;
    ensure!(
        seen.iter()
            .all(|seen| seen.piece.protocol == protocol::HTTP2)
    );
    Ok(())
}
