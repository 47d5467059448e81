//! A gateway, an agent that reports to it and a subscriber; and the comparison of rows with what the programs
//! say that they moved.

use anyhow::ensure;

use crate::{
    eventually,
    flows::{Flows, Row, sum},
    traffic::{Program, Said},
    weir::{Agent, Gateway},
};

/// A gateway, an agent that reports to it, and a subscriber.
#[derive(Debug)]
pub struct Watched {
    /// The subscriber.
    pub flows: Flows,
    /// The agent.
    pub agent: Agent,
    /// The gateway.
    pub gateway: Gateway,
}

impl Watched {
    /// Starts the three; `agent` is appended to the `netflow` section of the agent's configuration.
    ///
    /// # Errors
    /// If one does not start.
    pub fn start(agent: &str) -> anyhow::Result<Self> {
        let gateway = Gateway::start("")?;
        let flows = Flows::watch(&gateway, &[])?;
        let agent = Agent::start(gateway.flow, agent)?;
        Ok(Self {
            flows,
            agent,
            gateway,
        })
    }

    /// The same with an agent on a host that lacks something: see [`Agent::start_without`].
    ///
    /// # Errors
    /// If one does not start.
    pub fn start_without(without: &str) -> anyhow::Result<Self> {
        let gateway = Gateway::start("")?;
        let flows = Flows::watch(&gateway, &[])?;
        let agent = Agent::start_without(gateway.flow, without)?;
        Ok(Self {
            flows,
            agent,
            gateway,
        })
    }

    /// How the agent observes an event: the hook, and why not a better one.
    ///
    /// # Errors
    /// If it does not say so.
    pub fn hook(&self, event: &str) -> anyhow::Result<(String, String)> {
        let event = format!(r#"event="{event}""#);
        eventually("the agent's hooks on the metrics page", || {
            let page = self.gateway.metrics().map_err(|error| error.to_string())?;
            let line = page
                .lines()
                .find(|line| line.starts_with("weir_agent_hook_info{") && line.contains(&event))
                .ok_or_else(|| page.clone())?;
            let label = |name: &str| {
                let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap_or_default();
                rest.split('"').next().unwrap_or_default().to_owned()
            };
            Ok((label("hook"), label("reason")))
        })
    }

    /// Rows of the client side of TCP connections to `port`, once `ended` of them have ended.
    ///
    /// # Errors
    /// If they do not come.
    pub fn client(&self, port: u16, ended: u64) -> anyhow::Result<Vec<Row>> {
        self.flows
            .until("the client's rows", client("tcp", port), |rows| {
                all_over(rows, ended)
            })
    }

    /// Rows of the server side of TCP connections to `port`, once `ended` of them have ended.
    ///
    /// # Errors
    /// If they do not come.
    pub fn server(&self, port: u16, ended: u64) -> anyhow::Result<Vec<Row>> {
        self.flows
            .until("the server's rows", server("tcp", port), |rows| {
                all_over(rows, ended)
            })
    }

    /// A metric of the gateway's page, for a condition that is waited for.
    ///
    /// # Errors
    /// If the page cannot be had.
    pub fn metric(&self, name: &str, labels: &[&str]) -> Result<f64, String> {
        let value = self.gateway.metric(name, labels);
        value.map_err(|error| error.to_string())
    }

    /// Waits until everything that has moved by now is in the rows, UDP too, which has no end.
    ///
    /// A connection that ends now is reported with or after it, and one that ends after that report is in a
    /// later period.
    ///
    /// # Errors
    /// If these connections cannot be made or are not reported.
    pub fn settle(&self) -> anyhow::Result<()> {
        for _ in 0..2 {
            let mut server = Program::named("marker")?.run(None, "serve --listen 127.0.0.1:0")?;
            let port = server.port()?;
            let to = format!("connect --to 127.0.0.1:{port}");
            Program::named("marker")?.run(None, &to)?.said()?;
            self.client(port, 1)?;
        }
        Ok(())
    }
}

/// Picks the rows of the client side of flows to `port`.
pub fn client(transport: &str, port: u16) -> impl Fn(&Row) -> bool {
    let port = port.to_string();
    move |row| {
        row.tag("source") == "netflow"
            && row.tag("transport") == transport
            && row.tag("direction") == "outgoing"
            && row.tag("dst_port") == port
    }
}

/// Picks the rows of the server side of flows to `port`.
pub fn server(transport: &str, port: u16) -> impl Fn(&Row) -> bool {
    let port = port.to_string();
    move |row| {
        row.tag("source") == "netflow"
            && row.tag("transport") == transport
            && row.tag("direction") == "incoming"
            && row.tag("src_port") == port
    }
}

/// Whether so many connections have ended, and none is shown as live any more. One that ends while the agent
/// looks at the live ones may be shown as both, once.
fn all_over(rows: &[Row], ended: u64) -> bool {
    let live = rows.last().and_then(|row| row.field("connections"));
    finished(rows) >= ended && live.unwrap_or(0.0) == 0.0
}

/// TCP connections that ended or failed.
fn finished(rows: &[Row]) -> u64 {
    sum(rows, "tcp_closed") + sum(rows, "tcp_failed")
}

/// Checks fields summed over rows.
///
/// # Errors
/// If one differs; with all that do, and the rows.
pub fn sums(rows: &[Row], what: &str, expected: &[(&str, u64)]) -> anyhow::Result<()> {
    let differing: Vec<_> = expected
        .iter()
        .map(|&(field, right)| (field, sum(rows, field), right))
        .filter(|(_, is, right)| is != right)
        .map(|(field, is, right)| format!("{field} is {is}, not {right}"))
        .collect();
    ensure!(
        differing.is_empty(),
        "{what}: {}; {rows:?}",
        differing.join(", ")
    );
    Ok(())
}

/// Checks a tag of every row.
///
/// # Errors
/// If one row has another value; with that row.
pub fn tagged(rows: &[Row], what: &str, key: &str, value: &str) -> anyhow::Result<()> {
    match rows.iter().find(|row| row.tag(key) != value) {
        None => Ok(()),
        Some(row) => anyhow::bail!("{what}: {key} is not {value} in {row:?}"),
    }
}

/// Checks that the rows belong to the process that said so, an executable called `name`.
///
/// # Errors
/// If one row does not.
pub fn owned(rows: &[Row], said: &Said, name: &str) -> anyhow::Result<()> {
    tagged(rows, name, "process_name", name)?;
    tagged(rows, name, "pid", &said.pid.to_string())
}

/// Checks that the rows of one side of finished TCP connections say what the program of that side, an
/// executable called `name`, said.
///
/// # Errors
/// If they differ in anything.
pub fn exact(rows: &[Row], said: &Said, name: &str) -> anyhow::Result<()> {
    sums(
        rows,
        name,
        &[
            ("bytes_written", said.written),
            ("bytes_read", said.read),
            ("tcp_established", said.connections),
            ("tcp_closed", said.connections),
        ],
    )?;
    owned(rows, said, name)?;
    for row in rows {
        let merged = row.tag("src_port") == "*";
        ensure!(
            merged == (row.tag("direction") == "outgoing"),
            "{name}: only a client's port is merged: {row:?}"
        );
    }
    let last = rows.last().and_then(|row| row.field("connections"));
    ensure!(
        last == Some(0.0),
        "{name}: {last:?} live connections at the end: {rows:?}"
    );
    Ok(())
}
