//! From the paths of requests to routes: what identifies one thing among many becomes `*`.

mod identifier;
mod pattern;

use std::borrow::Cow;

pub use self::pattern::PatternError;
use self::{identifier::is_identifier, pattern::Pattern};

/// Bytes of a path that are looked at; a route is not longer.
pub const LONGEST: usize = 256;

/// Finds the routes of paths.
#[derive(Debug, Default)]
pub struct Routes {
    patterns: Vec<Pattern>,
}

impl Routes {
    /// Routes of paths that match a pattern are the pattern; the first that matches counts. In a pattern `*` stands
    /// for one segment, and `**` at its end for all that follow: `/users/*/orders`, `/files/**`.
    ///
    /// # Errors
    /// Names the pattern that is none.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, PatternError> {
        let patterns = patterns.into_iter().map(Pattern::new);
        Ok(Self {
            patterns: patterns.collect::<Result<_, _>>()?,
        })
    }

    /// The route of `path`. A query is no part of it. Segments that are numbers, UUIDs, hashes, dates, mail addresses
    /// or other long tokens become `*`. The route of a route is the same.
    pub fn route<'a>(&'a self, path: &'a str) -> Cow<'a, str> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let path = cut(path);
        if let Some(pattern) = self.patterns.iter().find(|pattern| pattern.matches(path)) {
            return Cow::Borrowed(pattern.text());
        }
        if !path.split('/').any(is_identifier) {
            return Cow::Borrowed(path);
        }
        let mut route = String::with_capacity(path.len());
        for (place, segment) in path.split('/').enumerate() {
            if place > 0 {
                route.push('/');
            }
            route.push_str(if is_identifier(segment) { "*" } else { segment });
        }
        Cow::Owned(route)
    }
}

/// The beginning of a path that is too long, up to the last whole segment.
fn cut(path: &str) -> &str {
    if path.len() <= LONGEST {
        return path;
    }
    let mut end = LONGEST;
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    let start = &path[..end];
    start.rfind('/').map_or(start, |slash| &start[..slash])
}

#[cfg(test)]
mod tests;
