//! From the paths of requests to routes: what identifies one thing among many becomes `*`.

mod pattern;
mod segment;

use std::borrow::Cow;

pub use self::pattern::PatternError;
use self::{pattern::Pattern, segment::is_identifier};

/// Longest route, in bytes. What does not fit is left out from a segment on, and `/**` stands for it.
pub const LONGEST: usize = 256;

const ANY: &str = "*";
const REST: &str = "**";
/// What stands for the rest of a route that is too long.
const CUT: &str = "/**";

/// Makes routes of paths.
///
/// A pattern of the user that matches a path is its route; the first one wins. `*` in it stands for one segment that
/// is not empty, `**` at its end for the rest, which is not empty either. In a path that no pattern matches, the
/// segments that look like an identifier become `*`: numbers, dates, UUIDs, hashes, long tokens, e-mail addresses.
///
/// Routes are stable: the route of a route is itself.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    patterns: Vec<Pattern>,
}

impl Routes {
    /// With the patterns of a user, the most important one first.
    ///
    /// # Errors
    /// The first pattern that is none.
    pub fn new<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, PatternError> {
        let patterns = patterns.into_iter();
        let patterns = patterns.map(|text| Pattern::new(text.as_ref()));
        Ok(Self {
            patterns: patterns.collect::<Result<_, _>>()?,
        })
    }

    /// The route of `path`. The query, a fragment and parameters of segments (`;jsessionid=…`) are left out.
    /// Allocates only where something becomes `*` behind a part that stays, or is left out in the middle.
    pub fn route<'a>(&'a self, path: &'a str) -> Cow<'a, str> {
        let end = path
            .bytes()
            .position(|byte| matches!(byte, b'?' | b'#' | b';'));
        let Some(end) = end else {
            return self.of_plain(path);
        };
        if path.as_bytes()[end] != b';' {
            return self.of_plain(&path[..end]);
        }
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let plain: Vec<&str> = path.split('/').map(without_parameters).collect();
        Cow::Owned(self.of_plain(&plain.join("/")).into_owned())
    }

    /// The route of a path that has nothing but segments.
    fn of_plain<'a>(&'a self, path: &'a str) -> Cow<'a, str> {
        match self.patterns.iter().find(|own| own.matches(path)) {
            Some(pattern) => Cow::Borrowed(pattern.text()),
            None => guess(path),
        }
    }
}

/// RFC 3986, section 3.3: what follows a semicolon is a parameter of the segment.
fn without_parameters(segment: &str) -> &str {
    let end = segment.bytes().position(|byte| byte == b';');
    &segment[..end.unwrap_or(segment.len())]
}

/// The route of a path that no pattern matches.
fn guess(path: &str) -> Cow<'_, str> {
    if path.len() <= LONGEST && !path.split('/').any(is_identifier) {
        return Cow::Borrowed(path);
    }
    let mut route = String::with_capacity(path.len().min(2 * LONGEST));
    // How much of it, in whole segments, leaves room to say that the rest is cut off.
    let mut with_room = 0;
    for (number, segment) in path.split('/').enumerate() {
        if route.len() + CUT.len() <= LONGEST {
            with_room = route.len();
        }
        if number > 0 {
            route.push('/');
        }
        route.push_str(if is_identifier(segment) { ANY } else { segment });
        if route.len() > LONGEST {
            route.truncate(with_room);
            route.push_str(CUT);
            break;
        }
    }
    Cow::Owned(route)
}

#[cfg(test)]
mod tests;
