//! A file that may change at any time.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(file: &Path) -> io::Result<Self> {
        let data = fs::metadata(file)?;
        Ok(Self {
            inode: data.ino(),
            size: data.len(),
            modified: (data.mtime(), data.mtime_nsec()),
        })
    }
}

/// A file, and what was made of it last.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    path: PathBuf,
    /// The state that was tried last, whether it could be used or not.
    tried: Option<Stamp>,
    /// Whether its absence was told.
    missed: bool,
    made: Option<T>,
}

impl<T> Watched<T> {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            tried: None,
            missed: false,
            made: None,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn made(&self) -> Option<&T> {
        self.made.as_ref()
    }

    /// Reads the file if it is another than before. What `make` refuses leaves everything as it was, and is told
    /// once. Whether there is something new.
    pub(crate) fn refresh<E: std::error::Error + 'static>(
        &mut self,
        most: u64,
        make: impl FnOnce(Vec<u8>) -> Result<T, E>,
    ) -> bool {
        let file = self.path.display();
        let stamp = match Stamp::of(&self.path) {
            Ok(stamp) => stamp,
            Err(error) => {
                if !std::mem::replace(&mut self.missed, true) {
                    tracing::warn!(%file, %error, "not there");
                }
                return false;
            }
        };
        self.missed = false;
        if self.tried == Some(stamp) {
            return false;
        }
        self.tried = Some(stamp);
        if stamp.size > most {
            tracing::error!(%file, size = stamp.size, most, "too large; not taken");
            return false;
        }
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(%file, %error, "cannot be read; not taken");
                return false;
            }
        };
        match make(bytes) {
            Ok(made) => {
                self.made = Some(made);
                tracing::info!(%file, size = stamp.size, "taken");
                true
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(%file, error, "cannot be used; not taken");
                false
            }
        }
    }
}
