//! A folder of scripts: one folder per category, one file per script.

use std::{
    fs, io,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tracing::warn;
use weir_point::Category;

use super::{
    MOST_SCRIPTS,
    set::{CATEGORIES, category_name},
    store::Sources,
};

/// What the names of files end with.
const EXTENSION: &str = "vrl";
/// Longest name of a script, in bytes; file systems take 255 with the extension.
const LONGEST_NAME: usize = 200;
/// No program is longer, so no more of a file is read.
const LONGEST: u64 = 64 * 1024 + 1;

/// A name that no file could have.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{name}` cannot be the name of a script: a name has 1 to {LONGEST_NAME} bytes, no `/` and no control \
     character, and does not begin with a dot"
)]
pub(super) struct BadName {
    name: String,
}

pub(super) fn check_name(name: &str) -> Result<(), BadName> {
    let is_good = (1..=LONGEST_NAME).contains(&name.len())
        && !name.starts_with('.')
        && !name.contains(|c: char| c == '/' || c.is_control());
    is_good.then_some(()).ok_or_else(|| BadName {
        name: name.to_owned(),
    })
}

/// A file, and what tells whether it has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    category: Category,
    name: String,
    path: PathBuf,
    inode: u64,
    size: u64,
    modified: Option<SystemTime>,
}

/// The files of a folder at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look(Vec<Seen>);

impl Look {
    /// A folder that is not there has no files.
    pub(super) fn at(folder: &Path) -> Self {
        let mut seen = Vec::new();
        for (category, word) in CATEGORIES {
            let Ok(entries) = fs::read_dir(folder.join(word)) else {
                continue;
            };
            let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
            seen.extend(paths.filter_map(|path| Seen::at(category, path)));
        }
        seen.sort_by(|one, other| one.path.cmp(&other.path));
        seen.truncate(MOST_SCRIPTS);
        Self(seen)
    }

    /// The texts. A file that cannot be read, or is gone by now, has none.
    pub(super) fn read(&self) -> Sources {
        let files = self.0.iter();
        files
            .map(|own| ((own.category, own.name.clone()), read(&own.path)))
            .collect()
    }
}

impl Seen {
    fn at(category: Category, path: PathBuf) -> Option<Self> {
        if path.extension()? != EXTENSION {
            return None;
        }
        let name = path.file_stem()?.to_str()?.to_owned();
        check_name(&name).ok()?;
        // Of what a link points to: Kubernetes changes files by changing links.
        let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            category,
            name,
            inode: metadata.ino(),
            size: metadata.len(),
            modified: metadata.modified().ok(),
            path,
        })
    }
}

/// An empty file is one that is being written: editors and shells empty it first.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(LONGEST)
        .read_to_string(&mut text)?;
    if text.trim().is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is empty"));
    }
    Ok(text)
}

fn path(folder: &Path, category: Category, name: &str) -> PathBuf {
    let file = format!("{name}.{EXTENSION}");
    folder.join(category_name(category)).join(file)
}

/// Keep a script; a crash leaves the old file or the new one.
pub(super) fn save(folder: &Path, category: Category, name: &str, source: &str) -> io::Result<()> {
    let path = path(folder, category, name);
    let fresh = path.with_added_extension("new");
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&fresh, source)?;
    fs::rename(&fresh, &path)
}

/// Forget a script.
pub(super) fn forget(folder: &Path, category: Category, name: &str) -> io::Result<()> {
    match fs::remove_file(path(folder, category, name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What a folder has that is no category is a mistake of the user, told once.
pub(super) fn tell_strangers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        warn!(
            folder = %folder.display(),
            "the folder of scripts is not there; it is looked for again and again"
        );
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_known = CATEGORIES.iter().any(|(_, word)| name == *word);
        if !is_known && !name.as_encoded_bytes().starts_with(b".") {
            warn!(
                path = %entry.path().display(),
                "no script is looked for here: the folders are network, metric, tracing and logging"
            );
        }
    }
}
