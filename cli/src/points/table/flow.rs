//! Flows, DNS queries and HTTP requests: who talks to whom, how much and about what.

use super::{ABSENT, Layout, Row, View, column, number, printable};
use crate::points::units;

pub(super) fn layout() -> Layout {
    Layout {
        columns: vec![
            column("TIME UTC", 8),
            column("HOST", 10),
            column("PROCESS", 20),
            column("LOCAL", 21),
            column("", 1),
            column("REMOTE", 21),
            number("READ", 8),
            number("WRITTEN", 8),
            number("RTT", 7),
            number("NEW", 3),
            number("CLOSED", 6),
            number("LIVE", 4),
        ],
        last: "WHAT",
        row: |view| Row {
            cells: view.flow_cells(),
            last: view.what(),
        },
    }
}

impl View<'_> {
    fn flow_cells(&self) -> Vec<String> {
        let arrow = match self.tag("direction") {
            Some("outgoing") => "→",
            Some("incoming") => "←",
            _ => ABSENT,
        };
        vec![
            units::time_of_day(self.0.time_unix_nano),
            self.tag("host").map_or(ABSENT.to_owned(), printable),
            self.process(),
            self.end("src_ip", "src_port"),
            arrow.to_owned(),
            self.end("dst_ip", "dst_port"),
            self.whole("bytes_read")
                .map_or(ABSENT.to_owned(), units::bytes),
            self.whole("bytes_written")
                .map_or(ABSENT.to_owned(), units::bytes),
            self.time("rtt")
                .map_or(ABSENT.to_owned(), units::microseconds),
            self.count("tcp_established"),
            self.count("tcp_closed"),
            self.count("connections"),
        ]
    }

    fn process(&self) -> String {
        match (self.tag("process_name"), self.tag("pid")) {
            (Some(name), Some(pid)) => format!("{}({})", printable(name), printable(pid)),
            (Some(name), None) => printable(name),
            (None, Some(pid)) => format!("({})", printable(pid)),
            (None, None) => ABSENT.to_owned(),
        }
    }

    fn end(&self, address: &str, port: &str) -> String {
        let address = self.tag(address).map_or(ABSENT.to_owned(), printable);
        let port = self.tag(port).map_or(ABSENT.to_owned(), printable);
        if address.contains(':') {
            format!("[{address}]:{port}")
        } else {
            format!("{address}:{port}")
        }
    }

    fn what(&self) -> String {
        match self.0.name.as_str() {
            "dnsflow" => self.query(),
            "httpflow" => self.request(),
            _ => self.peer(),
        }
    }

    /// The name of the remote end, and how many connects failed and why.
    fn peer(&self) -> String {
        let name = self.tag("dst_domain").map(printable);
        let failed = self.whole("tcp_failed").filter(|count| *count > 0);
        let failed = failed.map(|count| match self.tag("reason") {
            Some(reason) => format!("{count} failed: {}", printable(reason)),
            None => format!("{count} failed"),
        });
        match (name, failed) {
            (Some(name), Some(failed)) => format!("{name}, {failed}"),
            (one, other) => one.or(other).unwrap_or_else(|| ABSENT.to_owned()),
        }
    }

    fn count(&self, key: &str) -> String {
        self.whole(key)
            .map_or(ABSENT.to_owned(), |count| count.to_string())
    }
}
