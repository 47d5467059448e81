//! One database file.

use std::{
    fs::File,
    io::{self, Read, Seek},
    net::IpAddr,
    path::{Path, PathBuf},
};

use maxminddb::{MaxMindDbError, Mmap, Reader};

use super::{place::Place, record::Record};

/// What is smaller is kept in memory.
const SMALL: u64 = 4 * 1024 * 1024;
/// Far larger than any database of cities.
const LARGEST: u64 = 2 * 1024 * 1024 * 1024;

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum DatabaseError {
    #[error("cannot read the GeoIP database {}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("the GeoIP database {} has {size} bytes; the limit is {LARGEST}", file.display())]
    TooLarge { file: PathBuf, size: u64 },
    #[error("{} is no GeoIP database", file.display())]
    Broken {
        file: PathBuf,
        source: MaxMindDbError,
    },
}

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    reader: Reader<Content>,
}

#[derive(Debug)]
enum Content {
    Memory(Vec<u8>),
    Mapped(Mmap),
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

impl Database {
    /// Open the file. What becomes of it afterwards does not matter.
    pub(super) fn open(file: &Path) -> Result<Self, DatabaseError> {
        let content = content(file).map_err(|source| DatabaseError::Unreadable {
            file: file.to_owned(),
            source,
        })?;
        let content = content.map_err(|size| DatabaseError::TooLarge {
            file: file.to_owned(),
            size,
        })?;
        let broken = |source| DatabaseError::Broken {
            file: file.to_owned(),
            source,
        };
        let reader = Reader::from_source(content).map_err(broken)?;
        Ok(Self { reader })
    }

    /// What it is about, in words of its maker.
    pub(super) fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// When it was made, in seconds since the epoch.
    pub(super) fn built(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    /// Where the address is, if the database knows.
    pub(super) fn place(&self, address: IpAddr) -> Result<Option<Place>, MaxMindDbError> {
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Ok(None);
        }
        let record = self.reader.lookup(address)?.decode::<Record<'_>>()?;
        Ok(record.and_then(|record| Place::of(&record)))
    }
}

/// The bytes of a file, or its size if that is too large.
fn content(file: &Path) -> io::Result<Result<Content, u64>> {
    let mut file = File::open(file)?;
    let size = file.metadata()?.len();
    if size > LARGEST {
        return Ok(Err(size));
    }
    if size > SMALL
        && let Ok(map) = private_map(&file)
    {
        return Ok(Ok(Content::Mapped(map)));
    }
    // There is no room for the copy: memory it is.
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(Ok(Content::Memory(bytes)))
}

/// A copy without a name, in the folder for temporary files: the kernel keeps in memory what is in use of it.
fn private_map(file: &File) -> io::Result<Mmap> {
    let mut copy = tempfile::tempfile()?;
    io::copy(&mut file.take(LARGEST), &mut copy)?;
    #[expect(
        unsafe_code,
        reason = "a map is read page by page; 130 MB of the process' own memory are the alternative"
    )]
    // SAFETY: the file must not change while it is mapped. It has no name by which another process could open it, and
    // its only descriptor ends here.
    let map = unsafe { Mmap::map(&copy) };
    map
}
