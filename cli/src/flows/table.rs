//! Points as rows of a table.

use std::fmt::Write as _;

use weir_proto::observe::v1::{Point, field::Value};

use super::units;

/// A screenful.
const ROWS_PER_HEADER: usize = 40;
const ABSENT: &str = "-";

struct Column {
    title: &'static str,
    /// Grows with what is printed.
    width: usize,
    right: bool,
}

const fn column(title: &'static str, width: usize) -> Column {
    Column {
        title,
        width,
        right: false,
    }
}

const fn number(title: &'static str, width: usize) -> Column {
    Column {
        title,
        width,
        right: true,
    }
}

/// A table without an end: columns widen when a cell needs it and stay so.
pub(super) struct Table {
    columns: [Column; 12],
    repeat_header: bool,
    rows: usize,
}

impl Table {
    pub(super) fn new(repeat_header: bool) -> Self {
        Self {
            columns: [
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
            repeat_header,
            rows: 0,
        }
    }

    /// Append the row of `point`, after a header where one is due.
    pub(super) fn push_row(&mut self, point: &Point, out: &mut String) {
        let due = if self.repeat_header {
            self.rows.is_multiple_of(ROWS_PER_HEADER)
        } else {
            self.rows == 0
        };
        self.rows += 1;
        let view = View(point);
        let cells = view.cells();
        for (column, cell) in self.columns.iter_mut().zip(&cells) {
            column.width = column.width.max(width(cell));
        }
        if due {
            let titles = self
                .columns
                .each_ref()
                .map(|column| column.title.to_owned());
            self.push_line(&titles, "FAILED", out);
        }
        self.push_line(&cells, &view.failed(), out);
    }

    fn push_line(&self, cells: &[String; 12], last: &str, out: &mut String) {
        for (column, cell) in self.columns.iter().zip(cells) {
            let padding = column.width.saturating_sub(width(cell));
            let (before, after) = if column.right {
                (padding, 0)
            } else {
                (0, padding)
            };
            write!(out, "{:before$}{cell}{:after$}  ", "", "").expect("a String takes everything");
        }
        // Last, as its text is open-ended.
        out.push_str(last);
        out.push('\n');
    }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// What a table shows of a Point.
struct View<'a>(&'a Point);

impl View<'_> {
    fn cells(&self) -> [String; 12] {
        let arrow = match self.tag("direction") {
            Some("outgoing") => "→",
            Some("incoming") => "←",
            _ => ABSENT,
        };
        [
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

    /// With the reason, where there is something to explain.
    fn failed(&self) -> String {
        match (self.whole("tcp_failed"), self.tag("reason")) {
            (None, _) => ABSENT.to_owned(),
            (Some(count), Some(reason)) if count > 0 => format!("{count} {}", printable(reason)),
            (Some(count), _) => count.to_string(),
        }
    }

    fn count(&self, key: &str) -> String {
        self.whole(key)
            .map_or(ABSENT.to_owned(), |count| count.to_string())
    }

    fn tag(&self, key: &str) -> Option<&str> {
        let tag = self.0.tags.iter().find(|tag| tag.key == key)?;
        Some(&tag.value)
    }

    fn whole(&self, key: &str) -> Option<i64> {
        match self.field(key)? {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    fn time(&self, key: &str) -> Option<f64> {
        match self.field(key)? {
            Value::Float(number) => Some(*number),
            _ => None,
        }
    }

    fn field(&self, key: &str) -> Option<&Value> {
        let field = self.0.fields.iter().find(|field| field.key == key)?;
        field.value.as_ref()
    }
}

/// With everything escaped that cannot be seen: a process chooses its name, and must
/// not thereby choose what a terminal does.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => out.push(c),
            other => out.extend(other.escape_debug()),
        }
    }
    out
}

#[cfg(test)]
mod tests;
