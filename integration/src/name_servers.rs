//! Real name servers in namespaces, and dnsperf, which asks them.

use std::{
    fmt::Write as _,
    fs,
    io::Read as _,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    eventually,
    netns::Netns,
    process::{Running, cpu_at_end},
};
use anyhow::Context as _;
use tempfile::TempDir;

/// A running name server.
#[derive(Debug)]
pub struct NameServer {
    /// The process.
    pub process: Running,
    _folder: TempDir,
}

fn inside(netns: &Netns, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", netns.name(), program]);
    command
}

/// unbound at port 53 of every address, with further lines for its `server` section and after it.
///
/// # Errors
/// If it does not start.
pub fn unbound(netns: &Netns, more: &str) -> anyhow::Result<NameServer> {
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
        process,
        _folder: folder,
    })
}

/// dnsmasq at port 53 of every address, without names but those of `options`.
///
/// # Errors
/// If it does not start.
pub fn dnsmasq(netns: &Netns, options: &[&str]) -> anyhow::Result<NameServer> {
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
        process,
        _folder: folder,
    })
}

/// named (BIND 9) at port 53 of every address, the primary of the zone `named.test` with these records. It writes what it is asked
/// to its standard error.
///
/// # Errors
/// If it does not start.
pub fn named(netns: &Netns, records: &str) -> anyhow::Result<NameServer> {
    let folder = tempfile::tempdir().context("failed to make a folder")?;
    let place = folder.path().display();
    let config = format!(
        "options {{ directory \"{place}\"; listen-on {{ any; }}; listen-on-v6 {{ any; }}; recursion no; pid-file none;\n \
         session-keyfile none; dnssec-validation no; querylog yes; allow-query {{ any; }}; minimal-responses yes; }};\n\
         controls {{ }};\n\
         zone \"named.test\" {{ type primary; file \"named.test\"; }};\n\
         zone \"ready.invalid\" {{ type primary; file \"ready.invalid\"; }};\n\
         zone \"silent.test\" {{ type secondary; primaries {{ 127.0.0.9; }}; }};\n"
    );
    // No answer is kept, so that each query of a resolver comes here.
    let head = "$TTL 0\n@ SOA ns root 1 60 60 60 60\n@ NS ns\nns A 10.99.0.2\n";
    for (name, text) in [
        ("named.conf", config),
        ("named.test", format!("{head}{records}")),
        ("ready.invalid", format!("{head}@ A 192.0.2.99\n")),
    ] {
        fs::write(folder.path().join(name), text)
            .with_context(|| format!("failed to write {name}"))?;
    }
    let process = Running::start(
        "named",
        inside(netns, "named")
            .args(["-g", "-c"])
            .arg(folder.path().join("named.conf")),
    )?;
    wait_for(netns, &process)?;
    Ok(NameServer {
        process,
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

/// A zone of 100 names under `load.test`, for the `server` section of [`unbound`], and a query for each, for [`dnsperf`].
#[must_use]
pub fn load_zone() -> (String, String) {
    let mut server = " local-zone: \"load.test.\" static\n".to_owned();
    let mut queries = String::new();
    for number in 0..100 {
        // Writing to a String does not fail.
        let _written = writeln!(
            server,
            " local-data: \"n{number}.load.test. A 192.0.2.{number}\""
        );
        let _written = writeln!(queries, "n{number}.load.test A");
    }
    (server, queries)
}

/// What dnsperf says at its end.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// Queries.
    pub sent: u64,
    /// Those that were answered.
    pub completed: u64,
    /// Those that were not answered in time.
    pub lost: u64,
    /// Queries per second that were reached.
    pub rate: f64,
    /// Mean time to the answer in seconds.
    pub latency: f64,
    /// Longest time to an answer in seconds.
    pub latency_max: f64,
    /// CPU time that dnsperf took.
    pub cpu: Duration,
}

/// Runs dnsperf in a namespace, with `queries` as its input.
///
/// # Errors
/// If it fails, or does not say what it did.
pub fn dnsperf(netns: &Netns, options: &str, queries: &str) -> anyhow::Result<Said> {
    let folder = tempfile::tempdir().context("failed to make a folder")?;
    let file = folder.path().join("queries");
    fs::write(&file, queries).context("failed to write the queries")?;
    let mut child = inside(netns, "dnsperf")
        .arg("-W")
        .args(options.split_whitespace())
        .arg("-d")
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start dnsperf")?;
    let mut said = String::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_string(&mut said)?;
    }
    let cpu = cpu_at_end(child.id())?;
    let status = child.wait()?;
    anyhow::ensure!(status.success(), "dnsperf ended with {status}: {said}");
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
        rate: number("Queries per second:", 0)?,
        latency: number("Average Latency (s):", 0)?,
        latency_max: number("Average Latency (s):", 4)?,
        cpu,
    })
}
