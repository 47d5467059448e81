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
    /// In an environment variable of this name.
    Variable(String),
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
    list: Vec<Mistake>,
}

impl Mistakes {
    pub(super) fn new(file: &str, mut list: Vec<Mistake>) -> Self {
        list.sort();
        list.dedup();
        Self {
            file: file.to_owned(),
            list,
        }
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
        for mistake in &self.list {
            match &mistake.place {
                Place::File => write!(f, "\n  {}", self.file)?,
                Place::At(at) => write!(f, "\n  {}:{}:{}", self.file, at.line, at.column)?,
                Place::Variable(name) => write!(f, "\n  environment variable {name}")?,
            }
            if !mistake.key.is_empty() {
                write!(f, ": {}", mistake.key)?;
            }
            write!(f, ": {}", mistake.message)?;
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
