//! Where in an executable file the functions of a TLS library are.

mod go;
mod pclntab;
mod returns;

use std::{fs::File, io, path::Path};

use object::{Object as _, ObjectSegment as _, ObjectSymbol as _, ReadCache, ReadRef, SymbolKind};

/// Larger files are not read: no library or program is, with all its debug information.
const LARGEST: u64 = 1 << 30;

/// A function of OpenSSL's interface and what is placed there: one program at its beginning, one where it returns.
const OPENSSL: [(&str, &str, &str); 7] = [
    ("SSL_do_handshake", "tls_handshake", "tls_shaken"),
    ("SSL_free", "tls_free", ""),
    ("SSL_read", "tls_read", "tls_moved"),
    ("SSL_read_ex", "tls_read_ex", "tls_moved"),
    ("SSL_set_fd", "tls_descriptor", ""),
    ("SSL_write", "tls_write", "tls_moved"),
    ("SSL_write_ex", "tls_write_ex", "tls_moved"),
];

/// A place for a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The program that belongs there.
    pub program: &'static str,
    /// Where, in bytes from the beginning of the file.
    pub offset: u64,
}

/// The places in one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// In the order in which they are to be used: what sees calls return comes before what sees them begin.
    pub places: Vec<Place>,
}

/// Why a file cannot be probed.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// It cannot be opened.
    #[error("cannot read the file")]
    Read(#[from] io::Error),
    /// It is no executable file, or a broken one.
    #[error("not an executable file that can be read")]
    Format(#[from] object::Error),
    /// It is larger than any that is.
    #[error("larger than {LARGEST} bytes")]
    TooLarge,
}

impl Places {
    /// Finds them in a file; none if there is no TLS library in it.
    ///
    /// # Errors
    /// If the file cannot be read, or is no executable file.
    pub(super) fn in_file(path: &Path) -> Result<Self, LibraryError> {
        let file = File::open(path)?;
        if file.metadata()?.len() > LARGEST {
            return Err(LibraryError::TooLarge);
        }
        Self::find(&ReadCache::new(file))
    }

    /// The same in bytes.
    ///
    /// # Errors
    /// If they are no executable file.
    pub fn find<'a>(data: impl ReadRef<'a>) -> Result<Self, LibraryError> {
        let file = object::File::parse(data)?;
        let loaded = Loaded::of(&file);
        let mut places = openssl(&file, &loaded);
        places.extend(go::places(&file, &loaded));
        Ok(Self { places })
    }
}

/// Places in a library or program with OpenSSL's interface.
fn openssl<'a>(file: &object::File<'a, impl ReadRef<'a>>, loaded: &Loaded) -> Vec<Place> {
    let mut found = [None; OPENSSL.len()];
    // A program that does not offer its functions to libraries has them in the other table.
    for symbol in file.dynamic_symbols().chain(file.symbols()) {
        if !symbol.is_definition() || symbol.kind() != SymbolKind::Text {
            continue;
        }
        let Ok(name) = symbol.name_bytes() else {
            continue;
        };
        let at = OPENSSL.binary_search_by(|(known, ..)| known.as_bytes().cmp(name));
        if let Ok(at) = at
            && let Some(place @ None) = found.get_mut(at)
        {
            *place = loaded.offset(symbol.address());
        }
    }
    let mut begins = Vec::new();
    let mut places = Vec::new();
    for ((_, begin, end), offset) in OPENSSL.iter().zip(found) {
        let Some(offset) = offset else { continue };
        if !end.is_empty() {
            places.push(Place {
                program: end,
                offset,
            });
        }
        begins.push(Place {
            program: begin,
            offset,
        });
    }
    places.extend(begins);
    places
}

/// The loaded parts of a file: address in memory, offset in the file, length.
struct Loaded(Vec<(u64, u64, u64)>);

impl Loaded {
    fn of<'a>(file: &object::File<'a, impl ReadRef<'a>>) -> Self {
        let part = |segment: object::Segment<'a, '_, _>| {
            let (offset, length) = segment.file_range();
            (segment.address(), offset, length)
        };
        Self(file.segments().map(part).collect())
    }

    fn offset(&self, address: u64) -> Option<u64> {
        self.0.iter().find_map(|(start, offset, length)| {
            let inside = address.checked_sub(*start)?;
            (inside < *length).then(|| offset.checked_add(inside))?
        })
    }
}

/// Where this program began to run, in its file.
pub(super) fn entry_of_this_program() -> io::Result<u64> {
    let cache = ReadCache::new(File::open("/proc/self/exe")?);
    let file = object::File::parse(&cache).map_err(io::Error::other)?;
    Loaded::of(&file)
        .offset(file.entry())
        .ok_or_else(|| io::Error::other("its entry is not in the file"))
}

#[cfg(test)]
mod tests;
