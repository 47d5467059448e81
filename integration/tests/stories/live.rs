//! Configuration that changes while agent and gateway run.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::Context as _;
use rustix::process::Signal;
use weir_integration::{
    cases::connections::short_connections,
    eventually,
    flows::{Flows, Row, sum},
    watched::{Watched, client, exact, server, sums},
    weir::{Agent, Gateway},
};

const READ_AGAIN: &str = "configuration read again";

/// One connection over which bytes go to and fro without a pause, and are counted.
struct Stream {
    port: u16,
    stop: Arc<AtomicBool>,
    client: JoinHandle<std::io::Result<u64>>,
    server: JoinHandle<std::io::Result<u64>>,
}

impl Stream {
    fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let to: SocketAddr = listener.local_addr()?;
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let (mut buffer, mut read) = ([0; 700], 0);
            loop {
                let got = stream.read(&mut buffer)?;
                if got == 0 {
                    return Ok(read);
                }
                read += got as u64;
                stream.write_all(&buffer[..got])?;
            }
        });
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(to)?;
            let (mut buffer, mut moved) = ([7; 700], 0);
            while !stopped.load(Ordering::Relaxed) {
                stream.write_all(&buffer)?;
                stream.read_exact(&mut buffer)?;
                moved += buffer.len() as u64;
            }
            Ok(moved)
        });
        Ok(Self {
            port: to.port(),
            stop,
            client,
            server,
        })
    }

    /// The bytes that went in each direction.
    fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let panicked = |_| anyhow::anyhow!("a side of the stream panicked");
        let moved = self.client.join().map_err(panicked)??;
        let read = self.server.join().map_err(panicked)??;
        anyhow::ensure!(moved == read, "{moved} bytes written, {read} read");
        Ok(moved)
    }
}

/// Waits until bytes of the flows to `port` have come after those that are there already.
fn goes_on(weir: &Watched, port: u16) -> anyhow::Result<()> {
    let before = sum(&weir.flows.rows(client("tcp", port)), "bytes_written");
    let pick = client("tcp", port);
    let later = |rows: &[Row]| sum(rows, "bytes_written") > before;
    weir.flows.until("more bytes", pick, later).map(drop)
}

fn netflow(settings: &str) -> String {
    format!("netflow: {{period: 500ms, {settings}}}\n")
}

#[test]
fn every_byte_is_counted_once_over_changes_of_everything_about_the_collector() -> anyhow::Result<()>
{
    let weir = Watched::start("")?;
    let stream = Stream::start()?;
    goes_on(&weir, stream.port)?;
    let changes = [
        "hook: raw_tracepoint",
        "hook: btf_tracepoint, ring: 1MiB",
        "hook: sock_diag",
        "hook: auto, udp: {max_flows: 1024}",
        "hook: auto, udp: {hook: off}, nat: {enabled: false}",
        "max_connections: 1000, per_connection: false, nat: {max_entries: 100}",
    ];
    for (index, change) in changes.iter().enumerate() {
        // Without eBPF nothing shows HTTP.
        let http = !change.contains("sock_diag");
        let rest = format!("httpflow: {{enabled: {http}}}\n");
        weir.agent.configure(&(netflow(change) + &rest))?;
        weir.agent.process.said(READ_AGAIN, index + 1)?;
        goes_on(&weir, stream.port).context(*change)?;
    }
    let port = stream.port;
    let moved = stream.stop()?;
    for rows in [weir.client(port, 1)?, weir.server(port, 1)?] {
        let all = [
            ("bytes_written", moved),
            ("bytes_read", moved),
            ("tcp_established", 1),
            ("tcp_closed", 1),
        ];
        sums(&rows, "over all changes", &all)?;
    }
    reloads(&weir, "applied", changes.len())
}

/// Waits until so many reloads with this outcome are on the page.
fn reloads(weir: &Watched, outcome: &str, wanted: usize) -> anyhow::Result<()> {
    let labels = [format!("cause=\"{outcome}\"")];
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    eventually("the reloads on the page", || {
        let count = weir.metric("weir_agent_config_reloads_total", &labels)?;
        if count == wanted as f64 {
            Ok(())
        } else {
            Err(format!(
                "{count} {outcome}: {:#?}",
                weir.agent.process.stderr()
            ))
        }
    })
}

#[test]
fn a_period_that_is_made_shorter_in_the_file_is_in_force_and_a_broken_file_changes_nothing()
-> anyhow::Result<()> {
    let weir = Watched::start("  period: 1h\n")?;
    let (port, ..) = short_connections(3)?;
    weir.agent.configure("netflow: {period: 200ms}\n")?;
    assert_eq!(sum(&weir.client(port, 3)?, "tcp_closed"), 3);

    weir.agent.configure("netflow: {period: 1h, hok: auto}\n")?;
    let place = "weir-agent.yaml:3:23: netflow.hok: unknown key; did you mean `hook`?";
    weir.agent.process.said(place, 1)?;
    let (port, orders, _) = short_connections(2)?;
    exact(&weir.client(port, 2)?, &orders, "orders")?;

    // Asked for by signal, and once more right.
    weir.agent.process.signal(Signal::HUP)?;
    weir.agent.process.said(place, 2)?;
    reloads(&weir, "invalid", 2)
}

#[test]
fn a_hook_that_does_not_work_here_leaves_the_collector_as_it_was() -> anyhow::Result<()> {
    let weir = Watched::start("  hook: sock_diag\n")?;
    let stream = Stream::start()?;
    goes_on(&weir, stream.port)?;
    // More sockets than a map of the kernel can have.
    let change = "hook: raw_tracepoint, map_sockets: 4294967295";
    weir.agent.configure(&netflow(change))?;
    weir.agent.process.said(READ_AGAIN, 1)?;
    weir.agent.process.said("outcome=\"failed\"", 1)?;
    goes_on(&weir, stream.port)?;
    assert_eq!(weir.hook("tcp_state")?.0, "sock_diag");
    let port = stream.port;
    let moved = stream.stop()?;
    sums(
        &weir.server(port, 1)?,
        "after all",
        &[("bytes_written", moved)],
    )
}

/// Connections are made until one is reported; the collector runs again then.
fn sees_again(weir: &Watched) -> anyhow::Result<()> {
    eventually("a row of a new connection", || {
        let (port, ..) = short_connections(1).map_err(|error| error.to_string())?;
        let rows = || weir.flows.rows(server("tcp", port));
        for _ in 0..50 {
            if !rows().is_empty() {
                return Ok(());
            }
            thread::sleep(std::time::Duration::from_millis(50));
        }
        Err("nothing".to_owned())
    })
}

#[test]
fn a_collector_is_switched_off_and_on_by_the_file_and_by_the_gateway() -> anyhow::Result<()> {
    let weir = Watched::start("")?;
    let (ended, runs) = ("collector ended collector=\"netflow\"", "netflow watches");
    weir.agent.configure(&netflow("enabled: false"))?;
    weir.agent.process.said(ended, 1)?;
    let (unseen, ..) = short_connections(1)?;
    weir.agent.configure(&netflow("enabled: true"))?;
    weir.agent.process.said(runs, 2)?;
    sees_again(&weir)?;
    assert!(weir.flows.rows(client("tcp", unseen)).is_empty());

    let rule = |settings: &str| {
        format!("agents:\n  - match: {{host: 'st*'}}\n    settings: {{netflow: {{{settings}}}}}\n")
    };
    weir.gateway.configure(&rule("enabled: false"))?;
    weir.agent.process.said(ended, 2)?;
    weir.gateway.process.said("agent runs by its settings", 1)?;

    weir.gateway.configure(&rule("enabled: perhaps"))?;
    weir.gateway
        .process
        .said("agent does not take its settings", 1)?;
    let place = "settings of the gateway:2:12: netflow.enabled: expected `true` or `false`";
    weir.gateway.process.said(place, 1)?;
    weir.agent.process.said(place, 1)?;
    eventually("the mistakes on the page", || {
        let mistakes = weir.metric("weir_agent_settings_mistakes", &["host=\"story\""])?;
        if mistakes == 1.0 {
            Ok(())
        } else {
            Err(format!("{mistakes}"))
        }
    })?;

    weir.gateway.configure("")?;
    weir.agent.process.said(runs, 3)?;
    sees_again(&weir)
}

#[test]
fn an_agent_that_is_sent_to_another_gateway_takes_along_what_is_not_acknowledged()
-> anyhow::Result<()> {
    let (first, second) = (Gateway::start("")?, Gateway::start("")?);
    let flows = [Flows::watch(&first, &[])?, Flows::watch(&second, &[])?];
    let agent = Agent::start(first.flow, "")?;
    let stream = Stream::start()?;
    let port = stream.port;
    let first_rows = |rows: &[Row]| sum(rows, "bytes_read") > 0;
    flows[0].until("the first rows", client("tcp", port), first_rows)?;
    let moved = format!(
        "gateway: {}\nhost: story\nnetflow: {{period: 500ms}}\n",
        second.flow
    );
    agent.replace_configuration(&moved)?;
    flows[1].until("rows at the other", client("tcp", port), first_rows)?;
    let all = stream.stop()?;
    flows[1].until("the end", client("tcp", port), |rows| {
        sum(rows, "tcp_closed") == 1
    })?;
    let rows: Vec<Row> = flows
        .iter()
        .flat_map(|flows| flows.rows(client("tcp", port)))
        .collect();
    sums(
        &rows,
        "at both",
        &[("bytes_written", all), ("bytes_read", all)],
    )
}
