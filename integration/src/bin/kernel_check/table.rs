//! Results of several kernels as tables in Markdown.

use std::fmt::Write as _;

use anyhow::Context as _;

/// What a document has around the tables.
const BEGIN: &str = "<!-- tables: begin -->\n";
const END: &str = "<!-- tables: end -->";

/// One kernel's results.
#[derive(Debug, Default)]
struct Column {
    heading: String,
    release: String,
    hooks: Vec<(String, String)>,
    reasons: Vec<String>,
    cases: Vec<(String, String)>,
    ended: bool,
}

impl Column {
    fn read(heading: &str, text: &str) -> Self {
        let mut column = Self {
            heading: heading.to_owned(),
            ..Self::default()
        };
        for line in text.lines() {
            let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
            match what {
                "kernel" => rest.clone_into(&mut column.release),
                "hook" => column.hook(rest),
                "ok" | "FAIL" => column.cases.push((rest.to_owned(), what.to_owned())),
                "end" => column.ended = true,
                _ => {}
            }
        }
        column
    }

    fn hook(&mut self, line: &str) {
        let mut words = line.splitn(3, ' ');
        let (event, hook) = (words.next(), words.next());
        let (Some(event), Some(hook)) = (event, hook) else {
            return;
        };
        self.hooks.push((event.to_owned(), hook.to_owned()));
        if let Some(reason) = words.next().filter(|reason| !reason.is_empty()) {
            self.reasons.push(format!("{event}: {reason}"));
        }
    }

    fn is_good(&self) -> bool {
        self.ended && !self.cases.is_empty() && self.cases.iter().all(|(_, result)| result == "ok")
    }
}

/// Prints the tables, what was tested and why no better hook was taken; whether every case of every kernel
/// was right and the document, if there is one, has the same tables.
pub(crate) fn print(results: &[String], document: Option<&str>) -> anyhow::Result<bool> {
    let mut columns = Vec::new();
    for result in results {
        let (heading, file) = result
            .split_once('=')
            .with_context(|| format!("`{result}` is not HEADING=FILE"))?;
        let text = std::fs::read(file).with_context(|| format!("failed to read {file}"))?;
        columns.push(Column::read(heading, &String::from_utf8_lossy(&text)));
    }
    let tables = tables(&columns);
    print!("{tables}");
    for column in &columns {
        println!("\n{} is {}.", column.heading, column.release);
        for reason in &column.reasons {
            println!("- {reason}");
        }
        if !column.ended {
            println!("- It did not come to its end.");
        }
    }
    let described = document.is_none_or(|text| described(text) == Some(&tables));
    if !described {
        println!("\nThe document has other tables: what a kernel gets has changed.");
    }
    Ok(described && columns.iter().all(Column::is_good))
}

/// The tables of a document.
fn described(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(BEGIN)?;
    Some(rest.split_once(END)?.0)
}

fn tables(columns: &[Column]) -> String {
    let hooks = table("event", columns, |column| &column.hooks);
    let cases = table("case", columns, |column| &column.cases);
    format!("{hooks}\n{cases}")
}

fn table(
    what: &str,
    columns: &[Column],
    cells: impl Fn(&Column) -> &Vec<(String, String)>,
) -> String {
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in columns.iter().flat_map(&cells) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut text = format!("| {what} |");
    let mut rule = "|---|".to_owned();
    for column in columns {
        // A String takes everything.
        let _written = write!(text, " {} |", column.heading);
        rule.push_str("---|");
    }
    text = format!("{text}\n{rule}\n");
    for name in names {
        let _written = write!(text, "| {name} |");
        for column in columns {
            let cell = cells(column).iter().find(|(of, _)| of == name);
            let value = cell.map_or("-", |(_, value)| value);
            let _written = write!(text, " {value} |");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, Column, END, described, tables};

    const OLD: &str =
        "kernel 5.10\nhook tcp raw it is old\nok one\nFAIL two\n    why\nend 1 failed\n";
    const NEW: &str =
        "kernel 7.3\nhook tcp btf \nhook udp fexit \nok one\nok two\nok three\nend 0\n";

    #[test]
    fn kernels_are_columns_and_what_one_lacks_is_shown() {
        let columns = [Column::read("5.10", OLD), Column::read("newest", NEW)];
        let text = tables(&columns);
        for line in [
            "| event | 5.10 | newest |",
            "| tcp | raw | btf |",
            "| udp | - | fexit |",
            "| two | FAIL | ok |",
            "| three | - | ok |",
        ] {
            assert!(text.lines().any(|is| is == line), "{line} in {text}");
        }
        assert_eq!(columns[0].reasons, ["tcp: it is old"]);
        assert!(!columns[0].is_good() && columns[1].is_good());
        let document = format!("words\n{BEGIN}{text}{END}\nmore");
        assert_eq!(described(&document), Some(text.as_str()));
    }

    #[test]
    fn a_result_without_its_end_is_not_good() {
        assert!(!Column::read("6.1", "kernel 6.1\nok one\n").is_good());
        assert!(!Column::read("6.1", "").is_good());
    }
}
