//! Points as rows of a table.

mod flow;
mod otlp;
mod request;

use std::fmt::Write as _;

use weir_proto::observe::v1::{Point, field::Value};

use super::Category;

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

/// What the table of a category shows.
struct Layout {
    columns: Vec<Column>,
    /// The title of the last column, whose text is open-ended.
    last: &'static str,
    row: fn(View<'_>) -> Row,
}

/// One cell for each column, and the text at the end.
struct Row {
    cells: Vec<String>,
    last: String,
}

/// A table without an end: columns widen when a cell needs it and stay so.
pub(super) struct Table {
    layout: Layout,
    repeat_header: bool,
    rows: usize,
}

impl Table {
    pub(super) fn new(category: Category, repeat_header: bool) -> Self {
        Self {
            layout: match category {
                Category::Network => flow::layout(),
                Category::Metric => otlp::metrics(),
                Category::Tracing => otlp::spans(),
                Category::Logging => otlp::logs(),
            },
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
        let Row { cells, last } = (self.layout.row)(View(point));
        for (column, cell) in self.layout.columns.iter_mut().zip(&cells) {
            column.width = column.width.max(width(cell));
        }
        if due {
            let titles = self.layout.columns.iter();
            let titles: Vec<_> = titles.map(|column| column.title.to_owned()).collect();
            self.push_line(&titles, self.layout.last, out);
        }
        self.push_line(&cells, &last, out);
    }

    fn push_line(&self, cells: &[String], last: &str, out: &mut String) {
        for (column, cell) in self.layout.columns.iter().zip(cells) {
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
#[derive(Clone, Copy)]
struct View<'a>(&'a Point);

impl<'a> View<'a> {
    fn tag(&self, key: &str) -> Option<&'a str> {
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

    fn field(&self, key: &str) -> Option<&'a Value> {
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
