//! What watching costs: the same work with and without the agent, in alternating runs.
//!
//! Ratios are of the CPU time of the thread that does the work, both ends of each connection in one thread
//! on loopback: what the kernel does for the agent is charged to that thread. Wall time on a shared machine
//! says little; it is printed beside.

#![expect(clippy::print_stdout, reason = "the figures are its result")]

mod dns;
mod http;
mod live;

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use rustix::time::{ClockId, clock_gettime};
use weir_integration::{
    process::cpu_time,
    weir::{Agent, Gateway},
};

/// Measures the overhead of the agent, and what agent and gateway take themselves.
#[derive(Parser)]
struct Arguments {
    /// Rounds of work without, with, and again without the agent.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Connections held open for the last measurement, both ends of each on this host.
    #[arg(long, default_value_t = 50_000)]
    live: usize,
    /// Rounds of DNS at 20,000 queries a second: 10 s without an agent, 10 s without dnsflow, 30 s with it.
    #[arg(long, default_value_t = 3)]
    dns_rounds: usize,
    /// Rounds of HTTP, for 5 s each: without an agent, without httpflow, with it, and without it again.
    #[arg(long, default_value_t = 5)]
    http_rounds: usize,
    /// Seconds of HTTP that are compared with the server's log.
    #[arg(long, default_value_t = 60)]
    http_seconds: u64,
    /// Measures only this.
    #[arg(long)]
    only: Option<Part>,
    /// Only holds this many connections open until standard input ends: a part of the last measurement.
    #[arg(long, hide = true)]
    hold: Option<usize>,
}

/// What can be measured for itself.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Connections,
    Dns,
    Http,
}

/// A kind of work, and how often it is done in one measurement.
struct Work {
    name: &'static str,
    times: usize,
    run: fn(usize) -> anyhow::Result<()>,
}

const WORK: [Work; 4] = [
    Work {
        name: "connect, 1 B each way, close",
        times: 4000,
        run: connect_close,
    },
    Work {
        name: "ping-pong of 1 B",
        times: 20_000,
        run: ping_pong,
    },
    Work {
        name: "bulk, 64 KiB writes",
        times: 8000,
        run: bulk,
    },
    Work {
        name: "UDP ping-pong of 1 B",
        times: 20_000,
        run: datagrams,
    },
];

/// Nanoseconds for each time.
#[derive(Clone, Copy)]
struct Cost {
    cpu: f64,
    wall: f64,
}

fn pair() -> anyhow::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
}

fn connect_close(times: usize) -> anyhow::Result<()> {
    // A new address for each run: the ports of the last one are in TIME_WAIT.
    let host = next_host();
    let listener = TcpListener::bind((host, 0))?;
    let address = listener.local_addr()?;
    let mut byte = [0];
    for _ in 0..times {
        let mut client = TcpStream::connect(address)?;
        let (mut server, _) = listener.accept()?;
        client.write_all(&byte)?;
        server.read_exact(&mut byte)?;
        server.write_all(&byte)?;
        client.read_exact(&mut byte)?;
    }
    Ok(())
}

/// An address of 127.0.0.0/8 that no other run of this process uses.
fn next_host() -> Ipv4Addr {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0x7f10_0001);
    Ipv4Addr::from(NEXT.fetch_add(1, Ordering::Relaxed))
}

fn ping_pong(times: usize) -> anyhow::Result<()> {
    let (mut client, mut server) = pair()?;
    let mut byte = [0];
    for _ in 0..times {
        client.write_all(&byte)?;
        server.read_exact(&mut byte)?;
        server.write_all(&byte)?;
        client.read_exact(&mut byte)?;
    }
    Ok(())
}

fn bulk(times: usize) -> anyhow::Result<()> {
    let (mut client, mut server) = pair()?;
    let mut buffer = vec![7; 64 * 1024];
    for _ in 0..times {
        client.write_all(&buffer)?;
        server.read_exact(&mut buffer)?;
    }
    Ok(())
}

fn datagrams(times: usize) -> anyhow::Result<()> {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    client.connect(server.local_addr()?)?;
    let mut byte = [0];
    for _ in 0..times {
        client.send(&byte)?;
        let (_, from) = server.recv_from(&mut byte)?;
        server.send_to(&byte, from)?;
        client.recv(&mut byte)?;
    }
    Ok(())
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn measure(work: &Work) -> anyhow::Result<Cost> {
    (work.run)(work.times / 20)?;
    let (cpu, wall) = (thread_cpu(), Instant::now());
    (work.run)(work.times)?;
    let each = |spent: Duration| spent.as_nanos() as f64 / work.times as f64;
    Ok(Cost {
        cpu: each(thread_cpu() - cpu),
        wall: each(wall.elapsed()),
    })
}

/// Smallest, middle and largest.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    (
        at(0),
        at(values.len() / 2),
        at(values.len().saturating_sub(1)),
    )
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(connections) = arguments.hold {
        return live::hold(connections);
    }
    let wanted = |part| arguments.only.is_none_or(|only| only == part);
    if wanted(Part::Dns) {
        dns::measure(arguments.dns_rounds)?;
    }
    if wanted(Part::Http) {
        http::measure(arguments.http_rounds, arguments.http_seconds)?;
    }
    if wanted(Part::Connections) {
        connections(&arguments)?;
    }
    Ok(())
}

/// TCP and UDP, and many open connections.
fn connections(arguments: &Arguments) -> anyhow::Result<()> {
    let gateway = Gateway::start("")?;
    let mut ratios = WORK.map(|_| Vec::new());
    let mut walls = WORK.map(|_| Vec::new());
    let mut bases = WORK.map(|_| Vec::new());
    let (mut agent_cpu, mut watched, mut connections) = (Duration::ZERO, Duration::ZERO, 0);
    for _ in 0..arguments.rounds {
        let before = WORK.each_ref().map(measure);
        let agent = Agent::start(gateway.flow, "  period: 10s\n")?;
        let (began, cpu) = (Instant::now(), cpu_time(agent.process.pid())?);
        let with = WORK.each_ref().map(measure);
        agent_cpu += cpu_time(agent.process.pid())?.saturating_sub(cpu);
        watched += began.elapsed();
        connections += WORK[0].times + WORK[0].times / 20;
        agent.process.stop()?;
        let after = WORK.each_ref().map(measure);
        for (index, ((before, with), after)) in before.into_iter().zip(with).zip(after).enumerate()
        {
            let (before, with, after) = (before?, with?, after?);
            ratios[index].push(2.0 * with.cpu / (before.cpu + after.cpu));
            walls[index].push(2.0 * with.wall / (before.wall + after.wall));
            bases[index].push(before.cpu);
        }
    }
    println!(
        "| work | CPU ns without | CPU ratio with agent (min..max) | wall ratio (min..max) |\n|---|---|---|---|"
    );
    for (index, work) in WORK.iter().enumerate() {
        let (low, middle, high) = spread(std::mem::take(&mut ratios[index]));
        let (wall_low, wall, wall_high) = spread(std::mem::take(&mut walls[index]));
        let (_, base, _) = spread(std::mem::take(&mut bases[index]));
        println!(
            "| {} | {base:.0} | **{middle:.3}** ({low:.3}..{high:.3}) | {wall:.3} ({wall_low:.3}..{wall_high:.3}) |",
            work.name
        );
    }
    println!(
        "\nagent under that load: {:.2} % of one core; {:.2} us of CPU for each connection (both ends)",
        100.0 * agent_cpu.as_secs_f64() / watched.as_secs_f64(),
        agent_cpu.as_secs_f64() * 1e6 / connections as f64
    );
    live::measure(&gateway, arguments.live)
}
