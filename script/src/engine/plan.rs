//! Which parts of a Point a program mentions: nothing else is converted for it.

use vrl::{
    compiler::ProgramInfo,
    path::{OwnedSegment, OwnedTargetPath, OwnedValuePath, PathPrefix},
};
use weir_point::Text;

/// A part of a Point that is converted as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything.
    Root,
    Category,
    Name,
    Time,
    Start,
    Tags,
    Tag(Text),
    Fields,
    Field(Text),
    Resource,
    Attribute(Text),
    Scope,
}

impl Part {
    /// The part at the begin of `path`, and how many segments that takes; `None` if Points have no such part.
    fn of(path: &OwnedValuePath) -> Option<(Self, usize)> {
        let Some(first) = path.segments.first() else {
            return Some((Self::Root, 0));
        };
        let OwnedSegment::Field(first) = first else {
            return None;
        };
        let second = match path.segments.get(1) {
            Some(OwnedSegment::Field(key)) => Some(Text::new(key.as_str())),
            _ => None,
        };
        Some(match (first.as_str(), second) {
            ("category", _) => (Self::Category, 1),
            ("name", _) => (Self::Name, 1),
            ("time", _) => (Self::Time, 1),
            ("start", _) => (Self::Start, 1),
            ("scope", _) => (Self::Scope, 1),
            ("tags", Some(key)) => (Self::Tag(key), 2),
            ("tags", None) => (Self::Tags, 1),
            ("fields", Some(key)) => (Self::Field(key), 2),
            ("fields", None) => (Self::Fields, 1),
            ("resource", Some(key)) => (Self::Attribute(key), 2),
            ("resource", None) => (Self::Resource, 1),
            _ => return None,
        })
    }

    /// Whether `self` lies in `other`.
    fn is_in(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Root, _) => false,
            (_, Self::Root)
            | (Self::Tag(_), Self::Tags)
            | (Self::Field(_), Self::Fields)
            | (Self::Attribute(_), Self::Resource) => true,
            _ => false,
        }
    }
}

/// A path as it stands in the program, and where its value is.
#[derive(Debug)]
pub(super) struct Entry {
    path: OwnedTargetPath,
    /// The place in [`Plan::parts`].
    pub(super) part: usize,
    /// The path inside the part.
    pub(super) rest: OwnedValuePath,
}

/// All paths of a program.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) parts: Vec<Part>,
    entries: Vec<Entry>,
}

impl Plan {
    /// What the program reads and writes.
    ///
    /// # Errors
    /// A path that is no part of a Point.
    pub(super) fn new(info: &ProgramInfo) -> Result<Self, OwnedTargetPath> {
        let mut mentioned = Vec::new();
        for path in info.target_queries.iter().chain(&info.target_assignments) {
            let part = match path.prefix {
                PathPrefix::Event => Part::of(&path.path),
                PathPrefix::Metadata => None,
            };
            let (part, length) = part.ok_or_else(|| path.clone())?;
            mentioned.push((path, part, length));
        }
        let mut parts: Vec<Part> = Vec::new();
        for (_, part, _) in &mentioned {
            let is_inside = mentioned.iter().any(|(_, other, _)| part.is_in(other));
            if !is_inside && !parts.contains(part) {
                parts.push(part.clone());
            }
        }
        let mut entries: Vec<Entry> = Vec::new();
        for (path, part, length) in mentioned {
            let holds = |own: &Part| *own == part || part.is_in(own);
            // Every part that is mentioned is there, or one around it is.
            let Some(place) = parts.iter().position(holds) else {
                continue;
            };
            if entries.iter().any(|own| own.path == *path) {
                continue;
            }
            let taken = match &parts[place] {
                own if *own == part => length,
                Part::Root => 0,
                _ => 1,
            };
            entries.push(Entry {
                path: path.clone(),
                part: place,
                rest: path.path.segments[taken..].to_vec().into(),
            });
        }
        Ok(Self { parts, entries })
    }

    /// Where the value of `path` is.
    pub(super) fn entry(&self, path: &OwnedTargetPath) -> Option<&Entry> {
        self.entries.iter().find(|own| own.path == *path)
    }
}
