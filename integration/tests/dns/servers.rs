//! Real name servers in namespaces.

use std::{fs, process::Command};

use anyhow::Context as _;
use tempfile::TempDir;
use weir_integration::{eventually, netns::Netns, process::Running};

/// A running name server.
#[derive(Debug)]
pub(crate) struct NameServer {
    _process: Running,
    _folder: TempDir,
}

fn inside(netns: &Netns, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", netns.name(), program]);
    command
}

/// unbound at port 53 of every address, with further lines for its `server` section and after it.
pub(crate) fn unbound(netns: &Netns, more: &str) -> anyhow::Result<NameServer> {
    let folder = tempfile::tempdir().context("failed to make a folder")?;
    let file = folder.path().join("unbound.conf");
    let config = format!(
        "server:\n interface: 0.0.0.0\n interface: ::0\n access-control: 0.0.0.0/0 allow\n access-control: ::0/0 allow\n \
         username: \"\"\n chroot: \"\"\n pidfile: \"\"\n use-syslog: no\n do-daemonize: no\n \
         module-config: \"iterator\"\n num-threads: 1\n so-rcvbuf: 4m\n so-sndbuf: 4m\n \
         local-zone: \"ready.invalid.\" static\n local-data: \"ready.invalid. A 192.0.2.99\"\n\
         {more}\nremote-control:\n control-enable: no\n"
    );
    fs::write(&file, config).context("failed to write a configuration")?;
    let process = Running::start(
        "unbound",
        inside(netns, "unbound").args(["-d", "-c"]).arg(&file),
    )?;
    wait_for(netns, &process)?;
    Ok(NameServer {
        _process: process,
        _folder: folder,
    })
}

/// dnsmasq at port 53 of every address, without names but those of `options`.
pub(crate) fn dnsmasq(netns: &Netns, options: &[&str]) -> anyhow::Result<NameServer> {
    let folder = tempfile::tempdir().context("failed to make a folder")?;
    let process = Running::start(
        "dnsmasq",
        inside(netns, "dnsmasq")
            .args(["--keep-in-foreground", "--conf-file=/dev/null"])
            .args(["--no-resolv", "--no-hosts", "--user=root", "--pid-file="])
            .args([
                "--dns-forward-max=10000",
                "--host-record=ready.invalid,192.0.2.99",
            ])
            .args(options),
    )?;
    wait_for(netns, &process)?;
    Ok(NameServer {
        _process: process,
        _folder: folder,
    })
}

fn wait_for(netns: &Netns, process: &Running) -> anyhow::Result<()> {
    eventually("a name server", || {
        let asked = netns.sh("dig @127.0.0.1 ready.invalid A +short +tries=1 +time=1");
        match asked {
            Ok(answer) if answer.contains("192.0.2.99") => Ok(()),
            other => Err(format!("{other:?} {:?}", process.stderr())),
        }
    })
}

/// What dnsperf says at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) sent: u64,
    pub(crate) completed: u64,
    pub(crate) lost: u64,
    /// Seconds.
    pub(crate) latency: f64,
    pub(crate) latency_max: f64,
}

/// Runs dnsperf in a namespace, with `queries` as its input.
pub(crate) fn dnsperf(netns: &Netns, options: &str, queries: &str) -> anyhow::Result<Said> {
    let folder = tempfile::tempdir().context("failed to make a folder")?;
    let file = folder.path().join("queries");
    fs::write(&file, queries).context("failed to write the queries")?;
    let said = netns.sh(&format!("dnsperf -W {options} -d {}", file.display()))?;
    let number = |start: &str, word: usize| -> anyhow::Result<f64> {
        let line = said
            .lines()
            .find_map(|line| line.trim().strip_prefix(start))
            .with_context(|| format!("no `{start}` in {said}"))?;
        let text = line.split_whitespace().nth(word).unwrap_or_default();
        text.trim_end_matches([')', ','])
            .parse()
            .context("a number")
    };
    Ok(Said {
        sent: number("Queries sent:", 0)? as u64,
        completed: number("Queries completed:", 0)? as u64,
        lost: number("Queries lost:", 0)? as u64,
        latency: number("Average Latency (s):", 0)?,
        latency_max: number("Average Latency (s):", 4)?,
    })
}
