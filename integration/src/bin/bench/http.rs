//! What watching HTTP costs, and whether every request is counted: wrk asks nginx, both on this host, so that the agent
//! sees each request at both ends.

use std::{fmt, time::Duration};

use weir_integration::{
    eventually,
    nginx::Nginx,
    process::cpu_time,
    weir::{Agent, Gateway},
    wrk::{Said, wrk},
};

use super::spread;

/// How wrk connects.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    options: &'static [&'static str],
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "connections kept",
        options: &["-t1", "-c16"],
    },
    Kind {
        name: "a connection for each request",
        options: &["-t1", "-c16", "-H", "Connection: close"],
    },
];

/// Who watches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watching {
    Nobody,
    /// An agent without httpflow.
    Others,
    Httpflow,
}

/// A run.
struct Cost {
    rate: f64,
    /// Microseconds of CPU of nginx and wrk for each request.
    work: f64,
    /// Microseconds of CPU of the agent for each request.
    agent: f64,
}

fn watching(gateway: &Gateway, who: Watching) -> anyhow::Result<Option<Agent>> {
    let more = match who {
        Watching::Nobody => return Ok(None),
        Watching::Others => "  period: 10s\nhttpflow:\n  enabled: false\n",
        Watching::Httpflow => "  period: 10s\n",
    };
    let mut agent = Agent::start(gateway.flow, more)?;
    if who == Watching::Httpflow {
        let runs = |line: &str| {
            let runs = line.contains("collector runs") && line.contains("httpflow");
            runs.then_some(())
        };
        agent.process.line(runs)?;
    }
    Ok(Some(agent))
}

fn ask(nginx: &Nginx, kind: Kind, seconds: u64) -> anyhow::Result<Said> {
    let duration = format!("-d{seconds}s");
    let options = [kind.options, &[duration.as_str()]].concat();
    wrk(&options, &format!("http://{}/small.txt", nginx.http1))
}

fn run(nginx: &Nginx, kind: Kind, who: Watching, seconds: u64) -> anyhow::Result<Cost> {
    let gateway = Gateway::start("")?;
    let agent = watching(&gateway, who)?;
    let agents = || {
        let pid = agent.as_ref().map(|agent| agent.process.pid());
        pid.map_or(Ok(Duration::ZERO), cpu_time)
    };
    let before = (nginx.cpu()?, agents()?);
    let said = ask(nginx, kind, seconds)?;
    let after = (nginx.cpu()?, agents()?);
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / said.answered as f64;
    let cost = Cost {
        rate: said.rate,
        work: each(after.0 - before.0 + said.cpu),
        agent: each(after.1 - before.1),
    };
    if let Some(agent) = agent {
        agent.process.stop()?;
    }
    Ok(cost)
}

/// Smallest, middle and largest of ratios.
struct Ratio(Vec<f64>);

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, middle, high) = spread(self.0.clone());
        write!(f, "**{middle:.3}** ({low:.3}..{high:.3})")
    }
}

fn overhead(kind: Kind, rounds: usize, seconds: u64) -> anyhow::Result<()> {
    let nginx = Nginx::start(false)?;
    let [mut rates, mut works, mut all] = [const { Ratio(Vec::new()) }; 3];
    let (mut base_rate, mut base_work, mut agents) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let nobody = run(&nginx, kind, Watching::Nobody, seconds)?;
        let others = run(&nginx, kind, Watching::Others, seconds)?;
        let http = run(&nginx, kind, Watching::Httpflow, seconds)?;
        let again = run(&nginx, kind, Watching::Others, seconds)?;
        rates.0.push(2.0 * http.rate / (others.rate + again.rate));
        works.0.push(2.0 * http.work / (others.work + again.work));
        all.0.push(http.work / nobody.work);
        base_rate.push(nobody.rate);
        base_work.push(nobody.work);
        agents.push(http.agent);
    }
    let (_, rate, _) = spread(base_rate);
    let (_, work, _) = spread(base_work);
    let (_, agent, _) = spread(agents);
    println!(
        "| {} | {rate:.0} | {work:.2} | {rates} | {works} | {all} | {agent:.3} |",
        kind.name
    );
    Ok(())
}

/// What the gateway shows of one end.
struct End<'a> {
    gateway: &'a Gateway,
    labels: [String; 2],
}

impl<'a> End<'a> {
    fn server(gateway: &'a Gateway, port: u16) -> Self {
        let labels = [
            "flow_direction=\"incoming\"".to_owned(),
            format!("source_port=\"{port}\""),
        ];
        Self { gateway, labels }
    }

    fn client(gateway: &'a Gateway, port: u16) -> Self {
        let labels = [
            "flow_direction=\"outgoing\"".to_owned(),
            format!("destination_port=\"{port}\""),
        ];
        Self { gateway, labels }
    }

    fn requests(&self) -> anyhow::Result<f64> {
        let labels = self.labels.each_ref().map(String::as_str);
        self.gateway.metric("weir_http_requests_total", &labels)
    }

    /// The bucket of a histogram that holds each quantile: its bounds in seconds.
    fn quantiles(&self, metric: &str, wanted: &[f64]) -> anyhow::Result<Vec<(f64, f64)>> {
        let page = self.gateway.metrics()?;
        let bucket = format!("{metric}_bucket{{");
        let mut counts = std::collections::BTreeMap::new();
        for line in page.lines().filter(|line| line.starts_with(&bucket)) {
            let ours = self.labels.iter().all(|label| line.contains(label));
            let bound = line.split_once("le=\"").and_then(|(_, rest)| {
                let bound: f64 = rest.split_once('"')?.0.parse().ok()?;
                let count: f64 = rest.rsplit_once(' ')?.1.parse().ok()?;
                Some((bound, count))
            });
            if let (true, Some((bound, count))) = (ours, bound) {
                // Positive numbers are in the order of their bits.
                *counts.entry(bound.to_bits()).or_insert(0.0) += count;
            }
        }
        let all = counts.values().copied().fold(0.0, f64::max);
        let bounds = wanted.iter().map(|quantile| {
            let mut below = 0.0;
            for (bound, count) in &counts {
                let bound = f64::from_bits(*bound);
                if *count >= quantile * all {
                    return (below, bound);
                }
                below = bound;
            }
            (below, f64::INFINITY)
        });
        Ok(bounds.collect())
    }
}

fn exact(kind: Kind, seconds: u64) -> anyhow::Result<()> {
    let nginx = Nginx::start(true)?;
    let gateway = Gateway::start("")?;
    let Some(agent) = watching(&gateway, Watching::Httpflow)? else {
        return Ok(());
    };
    let said = ask(&nginx, kind, seconds)?;
    let port = nginx.http1.port();
    let [server, client] = [End::server(&gateway, port), End::client(&gateway, port)];
    let lost = || gateway.metric("weir_agent_http_lost_total", &[]);
    // The agent tells its counters and its last rows while it still runs.
    let settled = eventually("the rows", || {
        let counts = || anyhow::Ok((server.requests()?, client.requests()?, lost()?));
        let logged: u64 = nginx
            .log()
            .map_err(|error| error.to_string())?
            .values()
            .map(|logged| logged.count)
            .sum();
        let (server, client, lost) = counts().map_err(|error| error.to_string())?;
        if server.min(client) + lost >= logged as f64 {
            Ok((logged, server, client, lost))
        } else {
            Err(format!(
                "server {server}, client {client}, lost {lost} of {logged}"
            ))
        }
    });
    let (logged, server_count, client_count, lost) = settled?;
    let buckets = server.quantiles("http_server_request_duration_seconds", &[0.5, 0.9, 0.99])?;
    agent.process.stop()?;
    let times: Vec<_> = buckets
        .into_iter()
        .zip(said.latency)
        .map(|((low, high), whole)| {
            format!(
                "{:.0}..{:.0} ({:.0})",
                low * 1e6,
                high * 1e6,
                whole.as_secs_f64() * 1e6
            )
        })
        .collect();
    println!(
        "| {}, {seconds} s | {:.0} | {logged} | {server_count} | {client_count} | {lost} | {} |",
        kind.name,
        said.rate,
        times.join(" | ")
    );
    Ok(())
}

/// Overhead in `rounds` of alternating runs, and one run for `seconds` against the server's own log.
pub(crate) fn measure(rounds: usize, seconds: u64) -> anyhow::Result<()> {
    println!(
        "| wrk, nginx | requests/s without agent | CPU µs a request | requests/s, httpflow to an agent without | CPU, the same | CPU, to no agent | agent, µs a request |\n\
         |---|---|---|---|---|---|---|"
    );
    for kind in KINDS {
        overhead(kind, rounds, 5)?;
    }
    println!(
        "\n| wrk, nginx with its log | requests/s | logged | counted at the server | at the client | lost | p50 in µs: our bucket (wrk, whole answer) | p90 | p99 |\n\
         |---|---|---|---|---|---|---|---|---|"
    );
    for kind in KINDS {
        exact(kind, seconds)?;
    }
    println!();
    Ok(())
}
