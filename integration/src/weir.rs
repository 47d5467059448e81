//! The weir processes of a story: one gateway, agents, and what they say.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::{PATIENCE, process::Running, program};

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// The process.
    pub process: Running,
    /// Where it takes flows and subscriptions.
    pub flow: SocketAddr,
    /// Where it shows metrics.
    pub prometheus: SocketAddr,
    /// What stands in its configuration before what the story says.
    listeners: String,
    folder: TempDir,
}

/// Where a gateway takes OTLP.
#[derive(Clone, Copy, Debug)]
pub struct Otlp {
    /// gRPC.
    pub grpc: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    /// The process.
    pub process: Running,
    /// What stands in its configuration before what the story says.
    identity: String,
    folder: TempDir,
}

/// As an editor does it: written beside, then moved to its place.
fn replace(name: &str, folder: &TempDir, config: &str) -> anyhow::Result<()> {
    let file = folder.path().join(format!("{name}.yaml"));
    let beside = folder.path().join("written");
    fs::write(&beside, config).context("failed to write a configuration")?;
    fs::rename(&beside, &file).with_context(|| format!("failed to replace {}", file.display()))
}

fn configured(name: &str, folder: &TempDir, config: &str) -> anyhow::Result<Command> {
    let file = folder.path().join(format!("{name}.yaml"));
    fs::write(&file, config).with_context(|| format!("failed to write {}", file.display()))?;
    let mut command = Command::new(program(name)?);
    command.arg("--config").arg(file);
    Ok(command)
}

/// Value of `key` in a structured log line: `key=value` or `key="value"`.
fn logged(line: &str, key: &str) -> Option<String> {
    let rest = line.split_once(&format!(" {key}="))?.1;
    Some(rest.split_whitespace().next()?.trim_matches('"').to_owned())
}

impl Gateway {
    /// Starts a gateway on free ports, with `more` lines of configuration.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(more: &str) -> anyhow::Result<Self> {
        Self::start_at("127.0.0.1:0", more)
    }

    /// Starts a gateway that takes flows at `flow`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_at(flow: &str, more: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("failed to make a folder")?;
        let free = "listen: 127.0.0.1:0\n";
        let listeners = format!(
            "flow:\n  listen: {flow}\nprometheus:\n  {free}otlp_receiver:\n  grpc:\n    {free}  http:\n    {free}"
        );
        let config = format!("{listeners}{more}");
        let mut process = Running::start(
            "weir-gateway",
            &mut configured("weir-gateway", &folder, &config)?,
        )?;
        let (flow, prometheus) = process.line(|line| {
            Some((
                logged(line, "flow")?.parse().ok()?,
                logged(line, "prometheus")?.parse().ok()?,
            ))
        })?;
        Ok(Self {
            process,
            flow,
            prometheus,
            listeners,
            folder,
        })
    }

    /// Starts a gateway that also takes OTLP, on free ports, with `more` lines of configuration.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_otlp(more: &str) -> anyhow::Result<(Self, Otlp)> {
        let mut gateway = Self::start(more)?;
        let otlp = gateway.process.line(|line| {
            Some(Otlp {
                grpc: logged(line, "otlp_grpc")?.parse().ok()?,
                http: logged(line, "otlp_http")?.parse().ok()?,
            })
        })?;
        Ok((gateway, otlp))
    }

    /// The text of its metrics page.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn metrics(&self) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.prometheus)
            .with_context(|| format!("no metrics page at {}", self.prometheus))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // Of HTTP 1.0, so that the answer is neither chunked nor followed by another.
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .context("the metrics page ended early")?;
        let (head, page) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split_whitespace().nth(1);
        anyhow::ensure!(status == Some("200"), "the metrics page answers {head}");
        Ok(page.to_owned())
    }

    /// Sum of all series of `name` whose labels contain each of `labels`; 0 if there is none.
    ///
    /// # Errors
    /// If the page cannot be had.
    pub fn metric(&self, name: &str, labels: &[&str]) -> anyhow::Result<f64> {
        let text = self.metrics()?;
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (series, value) = rest.rsplit_once(' ')?;
            let named = series.is_empty() || series.starts_with('{');
            (named && labels.iter().all(|label| series.contains(label)))
                .then(|| value.parse::<f64>().ok())?
        });
        Ok(values.sum())
    }

    /// Replaces the configuration by one with these lines instead of those of the start.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn configure(&self, more: &str) -> anyhow::Result<()> {
        let config = format!("{}{more}", self.listeners);
        replace("weir-gateway", &self.folder, &config)
    }

    /// The folder that lives as long as the gateway.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Agent {
    /// Starts an agent that reports to `gateway`, twice a second unless `more` says otherwise. `more` is
    /// appended to the `netflow` section.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(gateway: SocketAddr, more: &str) -> anyhow::Result<Self> {
        Self::start_named(gateway, "story", more)
    }

    /// Starts an agent on a host that lacks something: `without` is a shell command that takes it away, in a mount
    /// namespace of the agent's own.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_without(gateway: SocketAddr, without: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("failed to make a folder")?;
        let file = folder.path().join("weir-agent.yaml");
        let identity = format!("gateway: {gateway}\nhost: story\n");
        let config = format!("{identity}netflow:\n  period: 500ms\n");
        fs::write(&file, config).context("failed to write a configuration")?;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-ec"])
            .arg(format!("{without}; exec \"$0\" --config \"$1\""))
            .arg(program("weir-agent")?)
            .arg(&file);
        let mut process = Running::start("weir-agent", &mut command)?;
        process.line(|line| line.contains("netflow watches").then_some(()))?;
        Ok(Self {
            process,
            identity,
            folder,
        })
    }

    /// Starts an agent on a node named `host`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_named(gateway: SocketAddr, host: &str, more: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("failed to make a folder")?;
        let period = if more.contains("period:") {
            ""
        } else {
            "  period: 500ms\n"
        };
        let identity = format!("gateway: {gateway}\nhost: {host}\n");
        let config = format!("{identity}netflow:\n{period}{more}");
        let mut process = Running::start(
            "weir-agent",
            &mut configured("weir-agent", &folder, &config)?,
        )?;
        process.line(|line| line.contains("netflow watches").then_some(()))?;
        Ok(Self {
            process,
            identity,
            folder,
        })
    }

    /// Replaces the configuration by one with these lines instead of those of the start.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn configure(&self, more: &str) -> anyhow::Result<()> {
        self.replace_configuration(&format!("{}{more}", self.identity))
    }

    /// Replaces the configuration by this text.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn replace_configuration(&self, text: &str) -> anyhow::Result<()> {
        replace("weir-agent", &self.folder, text)
    }
}
