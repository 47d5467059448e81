//! What many open and idle connections cost.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use weir_integration::{
    process::{Running, cpu_time},
    weir::{Agent, Gateway},
};

/// Connections of one process: each takes two descriptors.
const IN_ONE_PROCESS: usize = 9000;

/// `VmRSS` or `VmHWM` in MiB.
fn memory(pid: u32, which: &str) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .context("no such line")?;
    Ok(kib / 1024.0)
}

/// Holds connections open until standard input ends; prints `held`.
pub(crate) fn hold(connections: usize) -> anyhow::Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    let limits = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, limits).context("failed to raise the limit of open files")?;
    // One server: its connections are merged into one row at each end.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let held = (0..connections)
        .map(|_| {
            let client = TcpStream::connect(listener.local_addr()?)?;
            Ok((client, listener.accept()?.0))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    println!("held");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    drop(held);
    Ok(())
}

/// Memory and CPU while `live` connections are open and idle.
pub(crate) fn measure(gateway: &Gateway, live: usize) -> anyhow::Result<()> {
    let agent = Agent::start(gateway.flow, "  period: 1s\n")?;
    let pid = agent.process.pid();
    println!(
        "idle: agent {:.1} MiB (peak {:.1}), gateway {:.1} MiB (peak {:.1})",
        memory(pid, "VmRSS")?,
        memory(pid, "VmHWM")?,
        memory(gateway.process.pid(), "VmRSS")?,
        memory(gateway.process.pid(), "VmHWM")?,
    );
    let mut holders = Vec::new();
    let mut left = live;
    while left > 0 {
        let connections = left.min(IN_ONE_PROCESS);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--hold", &connections.to_string()]);
        let mut holder = Running::start("a holder of connections", &mut command)?;
        holder.line(|line| (line == "held").then_some(()))?;
        holders.push(holder);
        left -= connections;
    }
    // Three periods to settle, ten to measure.
    std::thread::sleep(Duration::from_secs(3));
    let cpu = cpu_time(pid)?;
    std::thread::sleep(Duration::from_secs(10));
    let each = (cpu_time(pid)? - cpu) / 10;
    println!(
        "{} live sockets: agent {:.1} MiB (peak {:.1}), {:.1} ms of CPU for each pass; gateway {:.1} MiB (peak {:.1})",
        live * 2,
        memory(pid, "VmRSS")?,
        memory(pid, "VmHWM")?,
        each.as_secs_f64() * 1e3,
        memory(gateway.process.pid(), "VmRSS")?,
        memory(gateway.process.pid(), "VmHWM")?,
    );
    let lost = gateway.metric("weir_agent_records_lost_total", &[r#"host="story""#])?;
    println!("records lost: {lost}");
    drop(holders);
    agent.process.stop().map(drop)
}
