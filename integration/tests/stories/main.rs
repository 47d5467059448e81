//! What a user gets from agent, gateway and command line together, on real traffic.
//!
//! The oracle is never weir itself: it is what the traffic programs counted of their own reads and writes,
//! the kernel's statistics, `ss`, and a real Prometheus.

#![expect(clippy::unwrap_used, reason = "a poisoned lock fails the story")]

mod burst;
mod exact;
mod flow_export;
mod hosts;
mod outputs;
mod trouble;

use weir_integration::{
    flows::{Flows, Row, sum},
    traffic::Said,
    weir::{Agent, Gateway},
};

/// A gateway, an agent that reports to it, and a subscriber.
struct Watched {
    flows: Flows,
    agent: Agent,
    gateway: Gateway,
}

impl Watched {
    fn start(agent: &str) -> anyhow::Result<Self> {
        let gateway = Gateway::start("")?;
        let flows = Flows::watch(&gateway, &[])?;
        let agent = Agent::start(gateway.flow, agent)?;
        Ok(Self {
            flows,
            agent,
            gateway,
        })
    }

    /// Rows of the client side of connections to `port`, once they all have ended.
    fn client(&self, port: u16, ended: u64) -> anyhow::Result<Vec<Row>> {
        let port = port.to_string();
        let pick = |row: &Row| row.tag("direction") == "outgoing" && row.tag("dst_port") == port;
        self.flows
            .until("the client's rows", pick, |rows| finished(rows) >= ended)
    }

    /// Rows of the server side, once they all have ended.
    fn server(&self, port: u16, ended: u64) -> anyhow::Result<Vec<Row>> {
        let port = port.to_string();
        let pick = |row: &Row| row.tag("direction") == "incoming" && row.tag("src_port") == port;
        self.flows
            .until("the server's rows", pick, |rows| finished(rows) >= ended)
    }
}

fn finished(rows: &[Row]) -> u64 {
    sum(rows, "tcp_closed") + sum(rows, "tcp_failed")
}

/// Asserts that the rows of one side say what the program of that side said.
fn assert_exact(rows: &[Row], said: &Said, name: &str, case: &str) {
    assert_eq!(
        sum(rows, "bytes_written"),
        said.written,
        "{case}: bytes_written of {name}"
    );
    assert_eq!(
        sum(rows, "bytes_read"),
        said.read,
        "{case}: bytes_read of {name}"
    );
    assert_eq!(
        sum(rows, "tcp_established"),
        said.connections,
        "{case}: tcp_established of {name}"
    );
    assert_eq!(
        sum(rows, "tcp_closed"),
        said.connections,
        "{case}: tcp_closed of {name}"
    );
    for row in rows {
        assert_eq!(row.tag("process_name"), name, "{case}: {row:?}");
        assert_eq!(row.tag("pid"), said.pid.to_string(), "{case}: {row:?}");
        assert_eq!(
            row.tag("src_port") == "*",
            row.tag("direction") == "outgoing",
            "{case}: {row:?}"
        );
    }
    let last = rows.last().and_then(|row| row.field("connections"));
    assert_eq!(
        last,
        Some(0.0),
        "{case}: live connections of {name} at the end"
    );
}
