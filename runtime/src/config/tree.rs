//! A part of a configuration that is handed on as text.

use std::fmt;

use super::document::{Mapping, Node, Value};

/// Keys and values that somebody else will read.
#[derive(Debug, Clone, Default)]
pub struct Tree(pub(super) Mapping);

impl Tree {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.entries().is_empty()
    }

    /// Take over what `layer` has, key by key.
    pub fn overlay(&mut self, layer: &Self) {
        self.0.overlay(layer.0.clone());
    }
}

/// As YAML.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in self.0.entries() {
            write_entry(f, 0, &entry.key, &entry.node)?;
        }
        Ok(())
    }
}

fn write_entry(to: &mut impl fmt::Write, depth: usize, key: &str, node: &Node) -> fmt::Result {
    write!(to, "{:1$}", "", depth * 2)?;
    write_text(to, key)?;
    to.write_char(':')?;
    match &node.value {
        Value::Map(map) if !map.entries().is_empty() => {
            to.write_char('\n')?;
            for entry in map.entries() {
                write_entry(to, depth + 1, &entry.key, &entry.node)?;
            }
            Ok(())
        }
        value => {
            to.write_char(' ')?;
            write_flow(to, value)?;
            to.write_char('\n')
        }
    }
}

/// In one line.
fn write_flow(to: &mut impl fmt::Write, value: &Value) -> fmt::Result {
    match value {
        Value::Nothing => to.write_char('~'),
        Value::Scalar(text) => write_text(to, text),
        Value::List(items) => {
            to.write_char('[')?;
            for (index, item) in items.iter().enumerate() {
                to.write_str(if index == 0 { "" } else { ", " })?;
                write_flow(to, &item.value)?;
            }
            to.write_char(']')
        }
        Value::Map(map) => {
            to.write_char('{')?;
            for (index, entry) in map.entries().iter().enumerate() {
                to.write_str(if index == 0 { "" } else { ", " })?;
                write_text(to, &entry.key)?;
                to.write_str(": ")?;
                write_flow(to, &entry.node.value)?;
            }
            to.write_char('}')
        }
    }
}

/// Quoted, unless nothing in it could mean something else.
fn write_text(to: &mut impl fmt::Write, text: &str) -> fmt::Result {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let is_word = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if is_word && text.chars().all(is_plain) && !text.eq_ignore_ascii_case("null") {
        return to.write_str(text);
    }
    to.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(to, "\\{c}")?,
            // Other line ends would be folded.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                write!(to, "\\u{:04X}", u32::from(c))?;
            }
            c => to.write_char(c)?,
        }
    }
    to.write_char('"')
}
