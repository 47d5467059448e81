//! Routes that a user has written down.

use crate::{ANY, LONGEST, REST};

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is no path.
    #[error("the route `{0}` does not begin with `/`")]
    NoSlash(String),
    /// No route is that long.
    #[error("the route `{0}` is longer than {LONGEST} bytes")]
    TooLong(String),
    /// Paths are compared without these.
    #[error(
        "the route `{0}` has a query, a fragment or a parameter (`?`, `#`, `;`), which routes do not have"
    )]
    Query(String),
    /// A wildcard stands for whole segments, and `**` only for the last ones.
    #[error(
        "the route `{pattern}` has the segment `{segment}`; `*` stands alone between slashes, `**` at the end"
    )]
    Wildcard {
        /// The pattern.
        pattern: String,
        /// The segment of it.
        segment: String,
    },
}

/// One route, and which paths it is the route of.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: Box<str>,
    /// How much of it stands before the first wildcard.
    literal: usize,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') {
            return Err(PatternError::NoSlash(text.to_owned()));
        }
        if text.len() > LONGEST {
            return Err(PatternError::TooLong(text.to_owned()));
        }
        if text.contains(['?', '#', ';']) {
            return Err(PatternError::Query(text.to_owned()));
        }
        let mut rest = text.split('/').peekable();
        while let Some(segment) = rest.next() {
            let is_last = rest.peek().is_none();
            let is_fine = !segment.contains('*') || segment == ANY || segment == REST && is_last;
            if !is_fine {
                return Err(PatternError::Wildcard {
                    pattern: text.to_owned(),
                    segment: segment.to_owned(),
                });
            }
        }
        Ok(Self {
            text: text.into(),
            literal: text.find('*').unwrap_or(text.len()),
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether this is the route of `path`, which has nothing but segments.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let (literal, rest) = self.text.split_at(self.literal);
        let Some(path) = path.strip_prefix(literal) else {
            return false;
        };
        let mut own = rest.split('/');
        let mut others = path.split('/');
        loop {
            match (own.next(), others.next()) {
                (None, None) => return true,
                (Some(REST), Some(first)) => return !first.is_empty() || others.next().is_some(),
                // What stands for several segments is not one: a route must match no other pattern than its path did.
                (Some(ANY), Some(other)) if !other.is_empty() && other != REST => {}
                (Some(own), Some(other)) if own == other => {}
                _ => return false,
            }
        }
    }
}
