//! HTTP seen from outside: every request, as the server's own log has it.

mod counted;
mod grpc;
mod hostile;
mod servers;
mod streams;
mod upgraded;

use std::collections::BTreeMap;

use weir_integration::{
    flows::{Flows, Row, sum},
    nginx::{Kind, Logged, Nginx},
    watched,
    weir::{Agent, Gateway},
};

/// A gateway, a subscriber to HTTP, an agent that watches it, and a web server.
struct Watched {
    flows: Flows,
    _agent: Agent,
    _gateway: Gateway,
    nginx: Nginx,
}

impl Watched {
    /// `more` is appended to the `httpflow` section of the agent's configuration.
    fn start(more: &str) -> anyhow::Result<Self> {
        let nginx = Nginx::start(true)?;
        let gateway = Gateway::start("")?;
        let flows = Flows::watch(&gateway, &["name=httpflow"])?;
        let config = format!("\nhttpflow:\n  period: 500ms\n{more}");
        let agent = Agent::start(gateway.flow, &config)?;
        Ok(Self {
            flows,
            _agent: agent,
            _gateway: gateway,
            nginx,
        })
    }

    /// Waits until the rows of the server's side at `port` say what the log says of all that it has served; it was
    /// asked `requests` times.
    fn server_is_as_logged(&self, port: u16, requests: Option<u64>) -> anyhow::Result<()> {
        let logged = || -> anyhow::Result<BTreeMap<Kind, Logged>> {
            let mut kinds = self.nginx.log()?;
            // It answers this one before it has read the body, and logs what it has read by then.
            kinds.retain(|(_, path, _), _| path != "/sink");
            Ok(kinds)
        };
        let rows = self
            .flows
            .until("the server's rows", side("incoming", port), |rows| {
                let logged = logged().unwrap_or_default();
                let all: u64 = logged.values().map(|logged| logged.count).sum();
                requests.is_none_or(|requests| requests == all) && by_kind(rows) == logged
            });
        if let Err(error) = rows {
            let rows = self.flows.rows(side("incoming", port));
            let (rows, logged) = (by_kind(&rows), logged()?);
            anyhow::bail!("rows {rows:#?}, log {logged:#?}: {error}");
        }
        Ok(())
    }

    /// Waits until the rows of the client's side to `port` have so many requests.
    fn client_asked(&self, port: u16, requests: u64) -> anyhow::Result<Vec<Row>> {
        self.flows
            .until("the client's rows", side("outgoing", port), |rows| {
                sum(rows, "count") == requests
            })
    }
}

/// A gateway, a subscriber and an agent, for servers other than nginx. `more` is appended to the `httpflow` section.
fn watch(more: &str) -> anyhow::Result<watched::Watched> {
    watched::Watched::start(&format!("\nhttpflow:\n  period: 500ms\n{more}"))
}

/// What the agent says that it has lost, by its causes.
fn lost(watched: &watched::Watched) -> anyhow::Result<BTreeMap<String, u64>> {
    let page = watched.gateway.metrics()?;
    let mut causes = BTreeMap::new();
    for line in page.lines() {
        let Some(rest) = line.strip_prefix("weir_agent_http_lost_total{") else {
            continue;
        };
        let (labels, value) = rest.rsplit_once(' ').unwrap_or_default();
        let (_, cause) = labels.split_once("cause=\"").unwrap_or_default();
        let cause = cause.split('"').next().unwrap_or_default();
        let value = value.parse::<f64>()? as u64;
        if value > 0 {
            *causes.entry(cause.to_owned()).or_default() += value;
        }
    }
    Ok(causes)
}

/// Checks that every request was seen, and whole.
fn lost_nothing(watched: &watched::Watched) -> anyhow::Result<()> {
    let lost = lost(watched)?;
    anyhow::ensure!(lost.is_empty(), "lost {lost:?}");
    Ok(())
}

/// Picks the rows of HTTP among others: of one side with the server at `port`.
fn http(direction: &'static str, port: u16) -> impl Fn(&Row) -> bool {
    let is_of_side = side(direction, port);
    move |row| row.tag("source") == "httpflow" && is_of_side(row)
}

/// Picks the rows of one side of HTTP with the server at `port`.
fn side(direction: &'static str, port: u16) -> impl Fn(&Row) -> bool {
    let port = port.to_string();
    let key = match direction {
        "incoming" => "src_port",
        _ => "dst_port",
    };
    move |row| row.tag("direction") == direction && row.tag(key) == port
}

/// What rows of the server's side say, as its log would.
fn by_kind(rows: &[Row]) -> BTreeMap<Kind, Logged> {
    let mut kinds: BTreeMap<Kind, Logged> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.tag("path") != "/sink") {
        let status = row.field("status_code").unwrap_or(-1.0) as u16;
        let kind = (
            row.tag("method").to_owned(),
            row.tag("path").to_owned(),
            status,
        );
        let logged = kinds.entry(kind).or_default();
        let number = |field| row.field(field).unwrap_or(0.0) as u64;
        logged.count += number("count");
        logged.read += number("bytes_read");
        logged.written += number("bytes_written");
    }
    kinds
}
