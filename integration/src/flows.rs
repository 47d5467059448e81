//! `weir flows -o json`, as a user has it, and sums over what it printed.

use std::{fmt, net::SocketAddr, process::Command};

use serde_json::Value;

use crate::{eventually, process::Running, program};

/// A running `weir flows`.
#[derive(Debug)]
pub struct Flows(Running);

/// One Point as `weir flows` printed it.
#[derive(Clone)]
pub struct Row(Value);

/// A failure shows at most this many rows.
const SHOWN: usize = 20;

impl fmt::Debug for Row {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line each, also in `{:#?}`.
        to.write_str(&self.0.to_string())
    }
}

impl Row {
    /// Value of a tag, empty if there is none.
    #[must_use]
    pub fn tag(&self, key: &str) -> &str {
        self.0
            .pointer(&format!("/tags/{key}"))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Value of a field, `None` if it is absent.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<f64> {
        self.0
            .pointer(&format!("/fields/{key}"))
            .and_then(Value::as_f64)
    }
}

/// Sum of a field over rows, as the integer that it is.
#[must_use]
pub fn sum(rows: &[Row], field: &str) -> u64 {
    rows.iter().filter_map(|row| row.field(field)).sum::<f64>() as u64
}

impl Flows {
    /// Subscribes with `filters` (`KEY=VALUE`), and waits until the gateway knows the subscriber.
    ///
    /// # Errors
    /// If the command does not start.
    pub fn watch(gateway: &crate::weir::Gateway, filters: &[&str]) -> anyhow::Result<Self> {
        let before = gateway.metric("weir_gateway_subscribers", &[])?;
        let flows = Self::start(gateway.flow, filters)?;
        eventually("weir flows to subscribe", || {
            let now = gateway
                .metric("weir_gateway_subscribers", &[])
                .map_err(|error| error.to_string())?;
            if now > before {
                Ok(())
            } else {
                Err(format!("{now} subscribers"))
            }
        })?;
        Ok(flows)
    }

    fn start(gateway: SocketAddr, filters: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(program("weir")?);
        command.args(["flows", "-o", "json", "--gateway", &gateway.to_string()]);
        for filter in filters {
            command.args(["--filter", filter]);
        }
        Running::start("weir flows", &mut command).map(Self)
    }

    /// Every row so far that `pick` takes.
    #[must_use]
    pub fn rows(&self, pick: impl Fn(&Row) -> bool) -> Vec<Row> {
        let lines = self.0.stdout();
        let rows = lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .map(Row);
        rows.filter(|row| pick(row)).collect()
    }

    /// Waits until the rows that `pick` takes satisfy `done`, and returns them.
    ///
    /// # Errors
    /// If they never do; with the rows.
    pub fn until(
        &self,
        what: &str,
        pick: impl Fn(&Row) -> bool,
        done: impl Fn(&[Row]) -> bool,
    ) -> anyhow::Result<Vec<Row>> {
        eventually(what, || {
            let rows = self.rows(&pick);
            if done(&rows) {
                Ok(rows)
            } else {
                let last = &rows[rows.len().saturating_sub(SHOWN)..];
                Err(format!(
                    "{} rows so far, the last: {last:#?} {:?}",
                    rows.len(),
                    self.0.stderr()
                ))
            }
        })
    }
}
