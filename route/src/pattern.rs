//! Patterns of users.

/// Longest pattern in bytes, and most segments.
const LONGEST: usize = 256;

/// A text that is no pattern.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` is no pattern of a path: {why}")]
pub struct PatternError {
    pattern: String,
    why: &'static str,
}

#[derive(Debug)]
enum Segment {
    Text(Box<str>),
    /// `*`
    One,
}

/// A pattern of paths.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: Box<str>,
    segments: Vec<Segment>,
    /// Whether it ends with `**`.
    is_open: bool,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, PatternError> {
        let mistake = |why| PatternError {
            pattern: text.to_owned(),
            why,
        };
        if text.len() > LONGEST {
            return Err(mistake("it is longer than 256 bytes"));
        }
        let Some(path) = text.strip_prefix('/') else {
            return Err(mistake("it does not begin with `/`"));
        };
        let (path, is_open) = match path.strip_suffix("/**") {
            Some(path) => (path, true),
            None if path == "**" => ("", true),
            None => (path, false),
        };
        let mut segments = Vec::new();
        for segment in path.split('/') {
            if segment.contains('*') && segment != "*" {
                return Err(mistake(
                    "`*` stands for a whole segment, and `**` only at the end",
                ));
            }
            segments.push(match segment {
                "*" => Segment::One,
                text => Segment::Text(text.into()),
            });
        }
        if is_open && path.is_empty() {
            segments.clear();
        }
        Ok(Self {
            text: text.into(),
            segments,
            is_open,
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else {
            return false;
        };
        let mut given = path.split('/');
        for segment in &self.segments {
            let Some(given) = given.next() else {
                return false;
            };
            let fits = match segment {
                Segment::One => !given.is_empty(),
                Segment::Text(text) => **text == *given,
            };
            if !fits {
                return false;
            }
        }
        match given.next() {
            // `**` stands for at least one segment, which may be empty.
            Some(_) => self.is_open,
            None => !self.is_open,
        }
    }
}
