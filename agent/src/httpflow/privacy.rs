//! Paths that say too much.
//!
//! A pattern is compared with the whole path, segment by segment: `*` stands for one segment, and `**` at the end for
//! all that follow. What a star stands for is replaced by `*`.

use weir_runtime::config::Scalar;

/// A pattern such as `/invite/*` or `/reset/**`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    segments: Vec<Segment>,
    /// Whether it ends with `**`.
    takes_rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(Box<str>),
    Any,
}

impl Redaction {
    /// The path without what is to be left out; `None` if the pattern is of other paths.
    #[must_use]
    pub fn apply(&self, path: &str) -> Option<String> {
        let mut rest = path.strip_prefix('/').map(|path| path.split('/'))?;
        let mut redacted = String::with_capacity(path.len());
        for segment in &self.segments {
            let found = rest.next()?;
            redacted.push('/');
            match segment {
                Segment::Text(text) if **text == *found => redacted.push_str(found),
                Segment::Text(_) => return None,
                Segment::Any => redacted.push('*'),
            }
        }
        match (rest.next(), self.takes_rest) {
            (None, true) | (Some(_), false) => None,
            (None, false) => Some(redacted),
            (Some(_), true) => {
                redacted.push_str("/*");
                Some(redacted)
            }
        }
    }
}

impl Scalar for Redaction {
    const WHAT: &'static str = "a path with `*` for segments to leave out, `**` for all at its end";

    fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(format!("`{text}` does not begin with `/`"));
        };
        let (path, takes_rest) = match path.strip_suffix("**") {
            Some("") => ("", true),
            Some(head) if head.ends_with('/') => (&head[..head.len() - 1], true),
            Some(_) => return Err(format!("`**` in `{text}` is no segment of its own")),
            None => (path, false),
        };
        let mut segments = Vec::new();
        for segment in path.split('/').filter(|_| !(path.is_empty() && takes_rest)) {
            segments.push(match segment {
                "*" => Segment::Any,
                text if text.contains('*') => {
                    return Err(format!("`*` in `{text}` is no segment of its own"));
                }
                text => Segment::Text(text.into()),
            });
        }
        if !takes_rest && !segments.contains(&Segment::Any) {
            return Err(format!("`{text}` leaves nothing out"));
        }
        Ok(Self {
            segments,
            takes_rest,
        })
    }

    fn show(&self) -> String {
        let mut text = String::new();
        for segment in &self.segments {
            text.push('/');
            text.push_str(match segment {
                Segment::Text(text) => text,
                Segment::Any => "*",
            });
        }
        if self.takes_rest {
            text.push_str("/**");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(pattern: &str, path: &str) -> Option<String> {
        let pattern = Redaction::parse(pattern).unwrap();
        assert_eq!(Redaction::parse(&pattern.show()), Ok(pattern.clone()));
        pattern.apply(path)
    }

    #[test]
    fn a_star_leaves_one_segment_out() {
        assert_eq!(applied("/invite/*", "/invite/ann").unwrap(), "/invite/*");
        assert_eq!(applied("/u/*/key", "/u/7/key").unwrap(), "/u/*/key");
        for other in ["/invite", "/invite/ann/x", "/other/ann", "*", ""] {
            assert_eq!(applied("/invite/*", other), None, "{other}");
        }
    }

    #[test]
    fn two_stars_leave_out_everything_below() {
        assert_eq!(applied("/reset/**", "/reset/a/b/c").unwrap(), "/reset/*");
        assert_eq!(applied("/u/*/**", "/u/7/b/c").unwrap(), "/u/*/*");
        assert_eq!(applied("/**", "/anything/at/all").unwrap(), "/*");
        assert_eq!(applied("/reset/**", "/reset"), None);
    }

    #[test]
    fn a_pattern_that_would_do_something_else_than_it_seems_is_refused() {
        for text in ["reset/*", "/reset", "/re*", "/a/**/b", "/a**", ""] {
            assert!(Redaction::parse(text).is_err(), "{text}");
        }
    }
}
