//! What is wrong with a program, and where.

use std::fmt;

use vrl::{
    compiler::{ExpressionError, runtime::Terminate},
    diagnostic::{Diagnostic, DiagnosticList, DiagnosticMessage as _, Formatter, Label, Span},
    path::OwnedTargetPath,
};

use super::value::BadResult;

/// A program that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// What is wrong, in one line.
    pub message: String,
    /// Where it is, from 1; 0 if it has no place.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// Every mistake with the lines around it and a caret, for people.
    pub text: String,
}

impl CompileError {
    pub(super) fn new(source: &str, mistakes: DiagnosticList) -> Self {
        let problem = mistakes.iter().find(|own| own.is_problem());
        let (message, start) = problem.map_or_else(
            || ("it does not compile".to_owned(), None),
            |own| (own.message().to_owned(), start(own.labels())),
        );
        let (line, column) = start.map_or((0, 0), |at| position(source, at));
        let text = Formatter::new(source, mistakes).to_string();
        Self {
            message,
            line,
            column,
            text: text.trim().to_owned(),
        }
    }

    pub(super) fn without_place(message: String) -> Self {
        Self {
            text: message.clone(),
            message,
            line: 0,
            column: 0,
        }
    }

    pub(super) fn at(source: &str, at: usize, message: &str) -> Self {
        let (line, column) = position(source, at);
        let text = format!("line {line}, column {column}: {message}");
        Self {
            message: message.to_owned(),
            line,
            column,
            text,
        }
    }

    /// For a path that Points do not have.
    pub(super) fn no_part(source: &str, path: &OwnedTargetPath) -> Self {
        let path = path.to_string();
        let message = format!("`{path}` is no part of a Point");
        let mut mistake = Diagnostic::error(0, &message).with_note(vrl::diagnostic::Note::Hint(
            "a Point has .name, .time, .start, .tags.KEY and .fields.KEY; .category, .resource.KEY and .scope can be read"
                .to_owned(),
        ));
        if let Some(from) = place_of(source, &path) {
            mistake = mistake.with_primary("no such part", Span::new(from, from + path.len()));
        }
        Self::new(source, vec![mistake].into())
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.message);
        }
        write!(
            f,
            "line {}, column {}: {}",
            self.line, self.column, self.message
        )
    }
}

impl std::error::Error for CompileError {}

/// A program that failed on a Point, which it has left as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct RunError(pub(super) Failure);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Failure {
    Expression(ExpressionError),
    OutOfOperations { budget: u32 },
    BadResult(BadResult),
}

impl RunError {
    pub(super) fn of(end: Terminate, budget: u32) -> Self {
        Self(match end {
            Terminate::Interrupted => Failure::OutOfOperations { budget },
            Terminate::Abort(error) | Terminate::Error(error) => Failure::Expression(error),
        })
    }

    /// What went wrong, and the line and column of `source` where it did if that is known.
    pub fn describe(&self, source: &str) -> String {
        match &self.0 {
            Failure::Expression(error) => {
                let message = error.message();
                match start(&error.labels()).or_else(|| place_in(&message)) {
                    Some(at) => {
                        let (line, column) = position(source, at);
                        format!("line {line}, column {column}: {message}")
                    }
                    None => message,
                }
            }
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Failure::Expression(error) => error.fmt(f),
            Failure::OutOfOperations { budget } => {
                write!(f, "more than {budget} operations for one Point")
            }
            Failure::BadResult(problem) => problem.fmt(f),
        }
    }
}

impl std::error::Error for RunError {}

fn start(labels: &[Label]) -> Option<usize> {
    let primary = labels.iter().find(|label| label.primary);
    primary.or(labels.first()).map(|label| label.span.start())
}

/// Errors of functions name their bytes: `function call error for "x" at (12:20): …`.
fn place_in(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once(" at (")?;
    rest.split_once(':')?.0.parse().ok()
}

/// Line and column of a byte, both from 1.
fn position(source: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    let before = &source[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

/// Where `path` stands outside of comments; the compiler does not tell.
fn place_of(source: &str, path: &str) -> Option<usize> {
    let mut begin = 0;
    for line in source.split_inclusive('\n') {
        let is_comment = line.trim_start().starts_with('#');
        if !is_comment && let Some(found) = line.find(path) {
            return Some(begin + found);
        }
        begin += line.len();
    }
    None
}
