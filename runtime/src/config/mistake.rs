//! Mistakes in a configuration, and where they are.

use std::fmt;

/// A place in the file: line and column, both counted from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// Where a mistake is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file, but nowhere in particular: something is missing.
    File,
    /// At a position of the file.
    At(Position),
    /// At a position of what lies over the file.
    Over(Position),
    /// In an environment variable of this name.
    Variable(String),
}

impl Place {
    /// The same position, of what lies over the file.
    pub(super) fn lift(&mut self) {
        if let Self::At(position) = self {
            *self = Self::Over(*position);
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where it is.
    pub place: Place,
    /// The dotted path of the key it is about; empty for the file as a whole.
    pub key: String,
    /// What is wrong, for the person who writes the file.
    pub message: String,
}

/// All mistakes of one configuration, in the order of the file, then those of
/// the environment.
#[derive(Debug, Clone)]
pub struct Mistakes {
    file: String,
    /// What lies over the file.
    layer: String,
    list: Vec<Mistake>,
}

impl Mistakes {
    pub(super) fn new(file: &str, layer: &str, mut list: Vec<Mistake>) -> Self {
        list.sort();
        list.dedup();
        Self {
            file: file.to_owned(),
            layer: layer.to_owned(),
            list,
        }
    }

    /// Each mistake in one line: its place, its key and what is wrong.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.list.iter().map(
            |Mistake {
                 place,
                 key,
                 message,
             }| {
                let place = match place {
                    Place::File => self.file.clone(),
                    Place::At(at) => format!("{}:{}:{}", self.file, at.line, at.column),
                    Place::Over(at) => format!("{}:{}:{}", self.layer, at.line, at.column),
                    Place::Variable(name) => format!("environment variable {name}"),
                };
                let key = match key.as_str() {
                    "" => String::new(),
                    key => format!(": {key}"),
                };
                format!("{place}{key}: {message}")
            },
        )
    }

    /// The mistakes, at least one.
    pub fn list(&self) -> &[Mistake] {
        &self.list
    }
}

impl std::error::Error for Mistakes {}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.list.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{count} mistake{plural} in the configuration:")?;
        for line in self.lines() {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// The start of a value, fit for a one-line message.
pub(super) fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .take(60)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(60).is_some() {
        line.push_str("...");
    }
    line
}
