//! What watching DNS costs at 20,000 queries a second, and whether every query is counted: dnsperf asks unbound, in two
//! namespaces of this host, so that the agent sees each packet at both ends.

use std::{fs, time::Duration};

use anyhow::Context as _;
use weir_integration::{
    eventually,
    name_servers::{NameServer, Said, dnsperf, load_zone, unbound},
    netns::Netns,
    process::cpu_time,
    weir::{Agent, Gateway},
};

use super::spread;

/// Queries of a second.
const RATE: u32 = 20_000;

/// Seconds with dnsflow, and without: CPU time needs no long look, counts do.
const LONG: u32 = 30;
const SHORT: u32 = 10;

/// Who watches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watching {
    Nobody,
    /// An agent without dnsflow.
    Others,
    Dnsflow,
}

/// What a run took, each for one query.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// Microseconds of unbound, dnsperf and what the kernel does for them elsewhere.
    work: f64,
    /// Microseconds of the whole agent, and of its thread for DNS.
    agent: f64,
    dnsflow: f64,
}

struct Site {
    client: Netns,
    _server: Netns,
    unbound: NameServer,
    queries: String,
}

/// CPU time of the threads of a process that have this name.
fn thread_cpu(pid: u32, name: &str) -> anyhow::Result<Duration> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let folder = thread?.path();
        if fs::read_to_string(folder.join("comm"))?.trim() == name {
            let text = fs::read_to_string(folder.join("schedstat"))?;
            let spent = text.split_whitespace().next().context("no time")?;
            total += spent.parse::<u64>()?;
        }
    }
    Ok(Duration::from_nanos(total))
}

/// CPU time of the kernel's threads for packets that nobody's own time covers.
fn softirq_cpu() -> anyhow::Result<Duration> {
    let mut total = Duration::ZERO;
    for process in fs::read_dir("/proc")? {
        let name = process?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process that has ended since is none of them.
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if comm.starts_with("ksoftirqd/") {
            total += cpu_time(pid)?;
        }
    }
    Ok(total)
}

/// What the gateway shows of one end.
struct End<'a> {
    gateway: &'a Gateway,
    direction: &'a str,
    duration: &'a str,
}

impl End<'_> {
    fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let direction = format!("flow_direction=\"{}\"", self.direction);
        self.gateway.metric(name, &["load.test", &direction])
    }

    fn queries(&self) -> anyhow::Result<f64> {
        self.metric("weir_dns_queries_total")
    }

    /// Mean, in seconds.
    fn latency(&self) -> anyhow::Result<f64> {
        let sum = self.metric(&format!("{}_sum", self.duration))?;
        Ok(sum / self.metric(&format!("{}_count", self.duration))?)
    }

    /// Longest, in seconds, of the periods since the run began: one.
    fn longest(&self) -> anyhow::Result<f64> {
        let page = self.gateway.metrics()?;
        let direction = format!("flow_direction=\"{}\"", self.direction);
        let values = page.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let ours = series.starts_with("weir_dns_duration_max_seconds{")
                && series.contains("load.test")
                && series.contains(&direction);
            ours.then(|| value.parse::<f64>().ok())?
        });
        Ok(values.fold(0.0, f64::max))
    }
}

fn lost(gateway: &Gateway) -> anyhow::Result<Vec<(String, f64)>> {
    let page = gateway.metrics()?;
    let values = page.lines().filter_map(|line| {
        let (series, value) = line
            .strip_prefix("weir_agent_dns_lost_total{")?
            .rsplit_once(' ')?;
        let (_, cause) = series.split_once("cause=\"")?;
        let value: f64 = value.parse().ok()?;
        (value > 0.0).then(|| Some((cause.split_once('"')?.0.to_owned(), value)))?
    });
    Ok(values.collect())
}

/// Rows of one period hold a whole run: they are sent when the agent stops.
fn watching(gateway: &Gateway, who: Watching) -> anyhow::Result<Option<Agent>> {
    let more = match who {
        Watching::Nobody => return Ok(None),
        Watching::Others => "  period: 10s\ndnsflow:\n  enabled: false\n",
        Watching::Dnsflow => "  period: 10s\ndnsflow:\n  period: 1h\n",
    };
    let mut agent = Agent::start(gateway.flow, more)?;
    if who == Watching::Dnsflow {
        let runs = |line: &str| {
            let runs = line.contains("collector runs") && line.contains("dnsflow");
            runs.then_some(())
        };
        agent.process.line(runs)?;
    }
    Ok(Some(agent))
}

fn run(site: &Site, who: Watching) -> anyhow::Result<Cost> {
    let gateway = Gateway::start("")?;
    let agent = watching(&gateway, who)?;
    let seconds = if who == Watching::Dnsflow {
        LONG
    } else {
        SHORT
    };
    let server = site.unbound.process.pid();
    let work = || anyhow::Ok(cpu_time(server)? + softirq_cpu()?);
    let agents = || match &agent {
        None => Ok((Duration::ZERO, Duration::ZERO)),
        Some(agent) => {
            let pid = agent.process.pid();
            anyhow::Ok((cpu_time(pid)?, thread_cpu(pid, "dnsflow")?))
        }
    };
    let (before, agents_before) = (work()?, agents()?);
    let options = format!("-s 10.99.0.2 -Q {RATE} -l {seconds} -c 50 -q 1000");
    let said = dnsperf(&site.client, &options, &site.queries)?;
    let (after, agents_after) = (work()?, agents()?);
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / said.sent as f64;
    let cost = Cost {
        work: each(after - before + said.cpu),
        agent: each(agents_after.0 - agents_before.0),
        dnsflow: each(agents_after.1 - agents_before.1),
    };
    if let Some(agent) = agent {
        // The counters are told once a second.
        std::thread::sleep(Duration::from_secs(2));
        agent.process.stop()?;
    }
    if who == Watching::Dnsflow {
        tell(&gateway, said, cost)?;
    }
    Ok(cost)
}

fn tell(gateway: &Gateway, said: Said, cost: Cost) -> anyhow::Result<()> {
    let [client, server] = [
        ("outgoing", "dns_lookup_duration_seconds"),
        ("incoming", "weir_dns_server_duration_seconds"),
    ]
    .map(|(direction, duration)| End {
        gateway,
        direction,
        duration,
    });
    let lost = lost(gateway)?;
    let missing = lost.iter().map(|(_, count)| count).sum::<f64>();
    eventually("the rows", || {
        let counts = [client.queries(), server.queries()];
        let enough = |count: &anyhow::Result<f64>| {
            count
                .as_ref()
                .is_ok_and(|count| count + missing >= said.sent as f64)
        };
        counts
            .iter()
            .all(enough)
            .then_some(())
            .ok_or_else(|| format!("{counts:?} of {said:?}, lost {lost:?}"))
    })?;
    println!(
        "| {:.0} | {} | {} | {} | {} | {lost:?} | {:.2} % | {:.2} | {:.2} |",
        said.rate,
        said.sent,
        said.lost,
        client.queries()?,
        server.queries()?,
        cost.agent * said.rate / 1e4,
        cost.agent,
        cost.dnsflow,
    );
    println!(
        "latency in µs, mean and longest: dnsperf {:.0}, {:.0}; client's rows {:.0}, {:.0}; server's rows {:.0}, {:.0}",
        said.latency * 1e6,
        said.latency_max * 1e6,
        client.latency()? * 1e6,
        client.longest()? * 1e6,
        server.latency()? * 1e6,
        server.longest()? * 1e6,
    );
    Ok(())
}

/// DNS at [`RATE`], in alternating runs.
pub(crate) fn measure(rounds: usize) -> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    let (config, queries) = load_zone();
    let site = Site {
        unbound: unbound(&server, &config)?,
        client,
        _server: server,
        queries,
    };
    println!(
        "| queries/s | sent | lost by dnsperf | counted at the client | at the server | lost by the agent | agent, of a core | agent, µs a query | of it dnsflow |\n\
         |---|---|---|---|---|---|---|---|---|"
    );
    let (mut bases, mut all, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let nobody = run(&site, Watching::Nobody)?;
        let others = run(&site, Watching::Others)?;
        let dnsflow = run(&site, Watching::Dnsflow)?;
        bases.push(nobody.work);
        all.push(dnsflow.work / nobody.work);
        ours.push(dnsflow.work / others.work);
    }
    let (_, base, _) = spread(bases);
    let (all_low, all, all_high) = spread(all);
    let (low, middle, high) = spread(ours);
    println!(
        "DNS query and answer: {base:.1} µs of CPU without an agent; ratio with dnsflow to an agent without **{middle:.3}** ({low:.3}..{high:.3}), \
         to no agent {all:.3} ({all_low:.3}..{all_high:.3})\n"
    );
    Ok(())
}
