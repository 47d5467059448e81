//! Files that may be replaced while the process runs.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Which version of a file is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    modified: (i64, i64),
    size: u64,
    file: (u64, u64),
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.size(),
            file: (metadata.dev(), metadata.ino()),
        }
    }
}

/// What is seen of some files at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Look(Vec<(PathBuf, Option<Version>)>);

impl Look {
    /// At `files`. A folder stands for the files in it whose names end with `ending`, in the order of their names.
    pub(crate) fn at<'a>(files: impl IntoIterator<Item = &'a Path>, ending: &str) -> Self {
        let mut seen = Vec::new();
        for path in files {
            match fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => inside(path, ending, &mut seen),
                Ok(metadata) => seen.push((path.to_owned(), Some(Version::of(&metadata)))),
                Err(_) => seen.push((path.to_owned(), None)),
            }
        }
        Self(seen)
    }

    /// The files, as far as they are there.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let there = self.0.iter().filter(|(_, version)| version.is_some());
        there.map(|(path, _)| path.as_path())
    }

    /// Whether `file` is here and in `other` the same.
    pub(crate) fn agrees(&self, other: &Self, file: &Path) -> bool {
        let of = |look: &Self| look.0.iter().find(|(path, _)| path == file)?.1;
        of(self).is_some() && of(self) == of(other)
    }
}

fn inside(folder: &Path, ending: &str, seen: &mut Vec<(PathBuf, Option<Version>)>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let own = entries.filter(|entry| {
        entry
            .file_name()
            .as_encoded_bytes()
            .ends_with(ending.as_bytes())
    });
    let mut own: Vec<PathBuf> = own.map(|entry| entry.path()).collect();
    own.sort();
    seen.extend(own.into_iter().map(|path| {
        let version = fs::metadata(&path).ok();
        (path, version.as_ref().map(Version::of))
    }));
}

/// Notices when files have changed. A change counts when two looks have seen the same, so that no file is read while
/// it is being written.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// What was seen last.
    latest: Look,
    /// What was read last.
    taken: Look,
}

impl Watch {
    /// `look` is read now.
    pub(crate) fn of(look: Look) -> Self {
        Self {
            latest: look.clone(),
            taken: look,
        }
    }

    /// What was read before, if something else is to be read now.
    pub(crate) fn due(&mut self, look: &Look) -> Option<Look> {
        let is_settled = self.latest == *look;
        self.latest.clone_from(look);
        if !is_settled || self.taken == *look {
            return None;
        }
        Some(std::mem::replace(&mut self.taken, look.clone()))
    }
}
