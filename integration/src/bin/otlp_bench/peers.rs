//! The servers that are compared, each alone on core 1.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use clap::ValueEnum as _;
use rustix::param::clock_ticks_per_second;
use tempfile::TempDir;
use weir_integration::{eventually, process::Running, program};

use crate::{Signal, scripts::Scripts};

const SERVER_CORE: &str = "1";
const LOAD_CORE: &str = "0";

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Our gateway, which reads every item: metrics for its Prometheus page, spans for span metrics.
    Weir,
    /// Our gateway without these: nothing reads what it forwards.
    WeirUnread,
    /// The same with scripts.
    WeirScripted(Scripts),
    /// The peer; `WEIR_BENCH_ROTEL` names its program.
    Rotel,
}

/// What the server does with what it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Drops it.
    Blackhole,
    /// Forwards it over gRPC, without compression; weir with its queue on disk.
    Forward,
}

/// A running server and the sink behind it.
pub(crate) struct Server {
    process: Running,
    address: SocketAddr,
    _sink: Option<Running>,
    _folder: TempDir,
}

/// A port that was free a moment ago: not every program takes port 0.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn pinned(core: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}

fn listens(address: SocketAddr) -> anyhow::Result<()> {
    eventually("the server to listen", || {
        TcpStream::connect(address)
            .map(drop)
            .map_err(|error| error.to_string())
    })
}

fn weir(
    kind: Kind,
    target: Target,
    listen: SocketAddr,
    sink: SocketAddr,
    folder: &TempDir,
) -> anyhow::Result<Command> {
    let folder = folder.path();
    let forward = match target {
        Target::Blackhole => String::new(),
        Target::Forward => format!(
            "otlp_exporters:\n  sink:\n    endpoint: http://{sink}\n    queue:\n      folder: {}\n",
            folder.join("queue").display()
        ),
    };
    let read = kind == Kind::Weir;
    let scripts = match kind {
        Kind::WeirScripted(scripts) => {
            let folder = folder.join("scripts");
            scripts.write(&folder)?;
            format!("scripts:\n  folder: {}\n", folder.display())
        }
        Kind::Weir | Kind::WeirUnread | Kind::Rotel => String::new(),
    };
    let config = format!(
        "flow:\n  listen: 127.0.0.1:0\nprometheus:\n  listen: 127.0.0.1:0\n  otlp_metrics: {read}\nspan_metrics:\n  enabled: {read}\notlp_receiver:\n  grpc:\n    listen: {listen}\n  http:\n    listen: 127.0.0.1:0\n{forward}{scripts}"
    );
    let file = folder.join("gateway.yaml");
    fs::write(&file, config)?;
    let mut command = pinned(SERVER_CORE, program("weir-gateway")?);
    command.arg("--config").arg(file);
    Ok(command)
}

fn rotel(
    target: Target,
    listen: SocketAddr,
    sink: SocketAddr,
    folder: &TempDir,
) -> anyhow::Result<Command> {
    let program = env::var_os("WEIR_BENCH_ROTEL")
        .context("WEIR_BENCH_ROTEL does not name rotel; run `make bench`")?;
    let mut command = pinned(SERVER_CORE, program);
    command
        .arg("start")
        .args(["--otlp-grpc-endpoint", &listen.to_string()]);
    command.args(["--otlp-http-endpoint", &free()?.to_string()]);
    command.arg("--pid-file").arg(folder.path().join("pid"));
    match target {
        Target::Blackhole => command.args(["--exporter", "blackhole"]),
        Target::Forward => command.args([
            "--exporter",
            "otlp",
            "--otlp-exporter-endpoint",
            &format!("http://{sink}"),
            "--otlp-exporter-compression",
            "none",
        ]),
    };
    Ok(command)
}

impl Kind {
    /// As it stands in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir, every item read",
            Self::WeirUnread => "weir, nobody reads",
            Self::WeirScripted(scripts) => scripts.name(),
            Self::Rotel => "rotel",
        }
    }
}

impl Server {
    /// Starts a server, and a sink if it forwards.
    pub(crate) fn start(kind: Kind, target: Target) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (address, sink_address) = (free()?, free()?);
        let sink = match target {
            Target::Blackhole => None,
            Target::Forward => {
                let mut command = pinned(LOAD_CORE, env::current_exe()?);
                command.args(["sink", "--listen", &sink_address.to_string()]);
                let sink = Running::start("sink", &mut command)?;
                listens(sink_address)?;
                Some(sink)
            }
        };
        let mut command = match kind {
            Kind::Weir | Kind::WeirUnread | Kind::WeirScripted(_) => {
                weir(kind, target, address, sink_address, &folder)?
            }
            Kind::Rotel => rotel(target, address, sink_address, &folder)?,
        };
        let process = Running::start("server", &mut command)?;
        listens(address)?;
        Ok(Self {
            process,
            address,
            _sink: sink,
            _folder: folder,
        })
    }

    /// Sends requests and waits for every answer.
    pub(crate) fn load(&self, signal: Signal, requests: usize) -> anyhow::Result<()> {
        let signal = signal.to_possible_value().context("no name")?;
        let output = pinned(LOAD_CORE, env::current_exe()?)
            .args([
                "send",
                "--to",
                &self.address.to_string(),
                "--signal",
                signal.get_name(),
            ])
            .args(["--requests", &requests.to_string()])
            .output()?;
        anyhow::ensure!(
            output.status.success(),
            "sender: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// CPU time so far, user and system.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process.pid()))?;
        // The name in brackets may hold spaces; fields 14 and 15 are utime and stime.
        let fields = text.rsplit_once(')').context("no name in stat")?.1;
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_secs_f64(
            ticks as f64 / clock_ticks_per_second() as f64,
        ))
    }

    /// Waits until the server has used no CPU worth mentioning for `quiet`.
    pub(crate) fn settle(&self, quiet: Duration) -> anyhow::Result<()> {
        loop {
            let before = self.cpu()?;
            std::thread::sleep(quiet);
            if self.cpu()? - before <= quiet / 50 {
                return Ok(());
            }
        }
    }

    /// `VmHWM` in MiB.
    pub(crate) fn peak_mib(&self) -> anyhow::Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.process.pid()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: f64 = line
            .and_then(|line| line.split_whitespace().next()?.parse().ok())
            .context("no VmHWM")?;
        Ok(kib / 1024.0)
    }
}
