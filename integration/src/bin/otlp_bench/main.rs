//! What OTLP costs in the gateway, against rotel in the same run, and with scripts against none.
//!
//! The server has core 1 to itself; sender and sink share core 0. CPU seconds of the server for each million
//! items are what compares: rates are bound by the core of the sender and the sink.

#![expect(clippy::print_stdout, reason = "the figures are its result")]

mod load;
mod peers;
mod scripts;
mod sink;

use std::{net::SocketAddr, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};

use self::{
    peers::{Kind, Server, Target},
    scripts::Scripts,
};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Alternating runs of each server.
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// Requests of 1000 items in each run.
    #[arg(long, default_value_t = 600)]
    requests: usize,
    /// Measures only this.
    #[arg(long)]
    only: Option<Part>,
}

/// What can be measured for itself.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Against rotel.
    Peer,
    /// The gateway with scripts against itself without any.
    Scripts,
}

#[derive(Subcommand)]
enum Role {
    /// Takes OTLP over gRPC and counts requests.
    Sink {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Sends the same request again and again over four connections, two on each at a time.
    Send {
        /// Where to.
        #[arg(long)]
        to: SocketAddr,
        /// What.
        #[arg(long)]
        signal: Signal,
        /// How often.
        #[arg(long)]
        requests: usize,
    },
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Signal {
    /// 1000 spans, 460 bytes each.
    Traces,
    /// 1000 gauge points, 180 bytes each.
    Metrics,
}

/// Items in one request.
pub(crate) const ITEMS: usize = 1000;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match arguments.role {
        Some(Role::Sink { listen }) => runtime.block_on(sink::serve(listen)),
        Some(Role::Send {
            to,
            signal,
            requests,
        }) => runtime.block_on(load::send(to, signal, requests)),
        None => measure(&arguments),
    }
}

/// What one run cost.
#[derive(Clone, Copy)]
struct Cost {
    cpu_per_million: f64,
    peak_mib: f64,
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let is_wanted = |part| arguments.only.is_none_or(|only| only == part);
    if is_wanted(Part::Peer) {
        let kinds = [Kind::Rotel, Kind::WeirUnread, Kind::Weir];
        let targets = [Target::Blackhole, Target::Forward];
        compare(&kinds, &targets, arguments)?;
    }
    if is_wanted(Part::Scripts) {
        let scripts = [Scripts::OtherCategory, Scripts::OtherName, Scripts::Every];
        let [category, name, every] = scripts.map(Kind::WeirScripted);
        let kinds = [Kind::WeirUnread, category, name, every];
        compare(&kinds, &[Target::Forward], arguments)?;
    }
    Ok(())
}

/// The first of `kinds` against the others.
fn compare(kinds: &[Kind], targets: &[Target], arguments: &Arguments) -> anyhow::Result<()> {
    let first = kinds.first().map_or("", |kind| kind.name());
    println!(
        "| what | server | CPU-s per million, median (min..max) | {first} / server | peak MiB |\n|---|---|---|---|---|"
    );
    for signal in [Signal::Traces, Signal::Metrics] {
        for target in targets {
            let mut costs: Vec<_> = kinds.iter().map(|kind| (*kind, Vec::new())).collect();
            for _ in 0..arguments.rounds {
                for (kind, costs) in &mut costs {
                    costs.push(run(*kind, *target, signal, arguments.requests)?);
                }
            }
            print(&format!("{signal:?}, {target:?}"), &costs);
        }
    }
    Ok(())
}

/// One line for each server; the first is what the others are compared with.
fn print(what: &str, costs: &[(Kind, Vec<Cost>)]) {
    let mut first = None;
    for (kind, costs) in costs {
        let mut cpu: Vec<_> = costs.iter().map(|cost| cost.cpu_per_million).collect();
        cpu.sort_by(f64::total_cmp);
        let at = |index: usize| cpu.get(index).copied().unwrap_or(f64::NAN);
        let (low, middle, high) = (at(0), at(cpu.len() / 2), at(cpu.len().saturating_sub(1)));
        let peak = costs.iter().map(|cost| cost.peak_mib).fold(0.0, f64::max);
        let ratio = *first.get_or_insert(middle) / middle;
        let name = kind.name();
        println!(
            "| {what} | {name} | {middle:.2} ({low:.2}..{high:.2}) | **{ratio:.2}** | {peak:.0} |"
        );
    }
}

fn run(kind: Kind, target: Target, signal: Signal, requests: usize) -> anyhow::Result<Cost> {
    let server = Server::start(kind, target)?;
    server.load(signal, requests / 10)?;
    let before = server.cpu()?;
    server.load(signal, requests)?;
    // Whatever is still queued is part of the work.
    server.settle(Duration::from_millis(500))?;
    let cpu = server.cpu()? - before;
    Ok(Cost {
        cpu_per_million: cpu.as_secs_f64() * 1e6 / (requests * ITEMS) as f64,
        peak_mib: server.peak_mib()?,
    })
}
