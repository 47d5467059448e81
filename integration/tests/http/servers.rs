//! Web servers other than nginx, each with its own log as the oracle.

use std::{
    collections::BTreeMap,
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
};

use tempfile::TempDir;
use weir_integration::{
    eventually,
    flows::Row,
    packages::run,
    process::Running,
    watched::{Watched, tagged},
};

use crate::{http, lost_nothing, watch};

/// Method, path and status, and how often.
pub(crate) type Served = BTreeMap<(String, String, u16), u64>;

/// Requests over connections that are kept.
const MANY: u64 = 2000;

/// A server that is asked, and what it says of it.
pub(crate) struct Server {
    process: Running,
    pub(crate) port: u16,
    folder: TempDir,
    /// Where its log is, if not on its standard output.
    log: Option<PathBuf>,
}

impl Server {
    /// One that says `port PORT`, and `served METHOD PATH STATUS` of each request.
    fn start(what: &str, command: &mut Command, folder: TempDir) -> anyhow::Result<Self> {
        let mut process = Running::start_group(what, command)?;
        let port = process.line(|line| line.strip_prefix("port ")?.parse().ok())?;
        Ok(Self {
            process,
            port,
            folder,
            log: None,
        })
    }

    /// Apache, which also takes `Upgrade: h2c`. As `accepts` has it, the kernel gives it connections when they are there
    /// (`none`), or with their first data (`data`, its default: `TCP_DEFER_ACCEPT`).
    pub(crate) fn apache(accepts: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path();
        // It reads files as another user.
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        let www = path.join("www");
        fs::create_dir(&www)?;
        fs::write(www.join("small"), "small\n")?;
        fs::write(www.join("large"), vec![0; 1_000_000])?;
        fs::write(www.join("pieces"), "<!--#echo var=\"DATE_GMT\" -->\n")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = include_str!("servers/apache.conf")
            .replace("FOLDER", &path.display().to_string())
            .replace("PORT", &port.to_string())
            .replace("ACCEPTS", accepts);
        let file = path.join("apache.conf");
        fs::write(&file, config)?;
        let mut command = Command::new("apache2");
        command.args(["-D", "FOREGROUND", "-f"]).arg(&file);
        let process = Running::start_group("Apache", &mut command)?;
        eventually("Apache to listen", || {
            TcpStream::connect(("127.0.0.1", port))
                .map_err(|error| format!("{error}: {:?}", process.stderr()))
        })?;
        Ok(Self {
            process,
            port,
            log: Some(path.join("access.log")),
            folder,
        })
    }

    pub(crate) fn served(&self) -> Served {
        let lines = match &self.log {
            Some(log) => fs::read_to_string(log).unwrap_or_default(),
            None => self.process.stdout().join("\n"),
        };
        let mut served = Served::new();
        for line in lines.lines() {
            if let ["served", method, path, status] = line.split(' ').collect::<Vec<_>>()[..] {
                let kind = (method.into(), path.into(), status.parse().unwrap_or(0));
                *served.entry(kind).or_default() += 1;
            }
        }
        served
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Asks for everything there is, in the ways that clients have; returns how many requests that were.
    fn ask(&self) -> anyhow::Result<u64> {
        let curl = |arguments: &[&str]| {
            let mut curl = Command::new("curl");
            curl.args(["-sS", "-o", "/dev/null"]);
            run(curl.args(arguments))
        };
        let [small, large, pieces, upload, broken, none] = [
            "/small?of=which",
            "/large",
            "/pieces",
            "/upload",
            "/broken",
            "/none",
        ]
        .map(|path| self.url(path));
        let body = self.folder.path().join("body");
        fs::write(&body, vec![b'b'; 300_000])?;
        let body = format!("@{}", body.display());
        // Over one connection.
        let next = ["-o", "/dev/null"];
        curl(&[&small, next[0], next[1], &large, next[0], next[1], &pieces])?;
        curl(&["-I", &small])?;
        curl(&["--data-binary", &body, &upload])?;
        let chunked = "Transfer-Encoding: chunked";
        curl(&["-H", chunked, "--data-binary", &body, &upload])?;
        curl(&["-H", "Connection: close", &broken])?;
        curl(&["--http1.0", &none])?;
        let many = MANY.to_string();
        run(Command::new("h2load")
            .args(["--h1", "-n", &many, "-c", "8"])
            .args([&small, &none, &pieces, &small]))?;
        Ok(8 + MANY)
    }
}

pub(crate) fn seen(rows: &[Row]) -> Served {
    let mut seen = Served::new();
    for row in rows {
        let kind = (
            row.tag("method").to_owned(),
            row.tag("path").to_owned(),
            row.field("status_code").unwrap_or_default() as u16,
        );
        let count = row.field("count").unwrap_or_default() as u64;
        *seen.entry(kind).or_default() += count;
    }
    // Bytes that came later have rows without a count.
    seen.retain(|_, count| *count > 0);
    seen
}

fn is_counted_on_both_sides(server: &Server, process: &str) -> anyhow::Result<()> {
    let watched = watch("")?;
    let asked = server.ask()?;
    let served = eventually("the server's log", || {
        let served = server.served();
        let count: u64 = served.values().sum();
        (count == asked)
            .then_some(served)
            .ok_or_else(|| format!("{count} of {asked} requests"))
    })?;
    let incoming = is_as_served(&watched, "incoming", server.port, &served)?;
    is_as_served(&watched, "outgoing", server.port, &served)?;
    tagged(&incoming, "the server", "process_name", process)?;
    lost_nothing(&watched)
}

fn is_as_served(
    watched: &Watched,
    side: &'static str,
    port: u16,
    served: &Served,
) -> anyhow::Result<Vec<Row>> {
    eventually(side, || {
        let rows = watched.flows.rows(http(side, port));
        let seen = seen(&rows);
        let is_same = seen == *served;
        is_same
            .then_some(rows)
            .ok_or_else(|| format!("{seen:#?}, not {served:#?}"))
    })
}

fn source(name: &str) -> String {
    format!("{}/tests/http/servers/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn requests_to_apache_are_counted_as_it_logs_them() -> anyhow::Result<()> {
    is_counted_on_both_sides(&Server::apache("none")?, "apache2")
}

#[test]
#[ignore = "the packet that makes a connection is seen at the socket that listens"]
fn requests_to_apache_are_counted_if_it_waits_for_data() -> anyhow::Result<()> {
    is_counted_on_both_sides(&Server::apache("data")?, "apache2")
}

#[test]
fn requests_to_node_are_counted_as_it_says() -> anyhow::Result<()> {
    let mut node = Command::new("node");
    node.arg(source("server.js"));
    let server = Server::start("Node", &mut node, tempfile::tempdir()?)?;
    is_counted_on_both_sides(&server, "node")
}

#[test]
fn requests_to_python_are_counted_as_it_says() -> anyhow::Result<()> {
    // The program is named after its version.
    let program = fs::canonicalize("/usr/bin/python3")?;
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let mut python = Command::new(&program);
    python.arg(source("server.py"));
    let server = Server::start("Python", &mut python, tempfile::tempdir()?)?;
    is_counted_on_both_sides(&server, &name)
}

#[test]
fn requests_to_go_are_counted_as_it_says() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("go-server");
    run(Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(source("server.go"))
        .envs([("CGO_ENABLED", "0"), ("GO111MODULE", "off")]))?;
    let server = Server::start("Go", &mut Command::new(program), folder)?;
    is_counted_on_both_sides(&server, "go-server")
}
