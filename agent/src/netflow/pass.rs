//! Reading a pass of an iterator program: records, one after the other, like a file.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read as _},
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use super::syscall::{FromKernel, open_iterator};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The kernel fills at most this much with one read.
const BUFFER: usize = 256 * 1024;

/// An attached iterator program.
pub(super) struct Pass {
    name: &'static str,
    link: OwnedFd,
    every_namespace: bool,
    buffer: Vec<u8>,
}

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
#[error("the pass `{name}` over the kernel's sockets failed")]
pub(super) struct PassError {
    name: &'static str,
    #[source]
    source: io::Error,
}

impl Pass {
    pub(super) fn new(name: &'static str, link: OwnedFd) -> Self {
        Self {
            name,
            link,
            every_namespace: false,
            buffer: Vec::new(),
        }
    }

    /// The kernel's iterator walks one network namespace: walk one after the other.
    pub(super) fn in_every_namespace(mut self) -> Self {
        self.every_namespace = true;
        self
    }

    /// Calls `each` with every record of a new pass; `T` is what its program writes.
    pub(super) fn run<T: FromKernel>(&mut self, mut each: impl FnMut(T)) -> Result<(), PassError> {
        self.buffer.resize(BUFFER, 0);
        let done = if self.every_namespace {
            self.run_in_namespaces(&mut each)
        } else {
            open_iterator(&self.link)
                .and_then(|file| read_records(file, &mut self.buffer, &mut each))
        };
        done.map_err(|source| PassError {
            name: self.name,
            source,
        })
    }

    fn run_in_namespaces<T: FromKernel>(&mut self, each: &mut impl FnMut(T)) -> io::Result<()> {
        let home = File::open("/proc/thread-self/ns/net")?;
        let mut result = Ok(());
        for path in network_namespaces()? {
            // A namespace may be gone by now, and its connections with it.
            let Ok(namespace) = File::open(path) else {
                continue;
            };
            enter(&namespace)?;
            let one = open_iterator(&self.link)
                .and_then(|file| read_records(file, &mut self.buffer, each));
            enter(&home)?;
            result = result.and(one);
        }
        result
    }
}

fn enter(namespace: &File) -> io::Result<()> {
    use std::os::fd::AsFd as _;
    Ok(move_into_link_name_space(
        namespace.as_fd(),
        Some(LinkNameSpaceType::Network),
    )?)
}

/// One path for each network namespace that a process is in or that `ip netns` has named.
fn network_namespaces() -> io::Result<Vec<PathBuf>> {
    let processes = fs::read_dir("/proc")?
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .iter()
                .all(u8::is_ascii_digit)
        })
        .map(|entry| entry.path().join("ns/net"));
    let named = fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut seen = HashSet::new();
    Ok(processes
        .chain(named)
        .filter(|path| inode(path).is_some_and(|inode| seen.insert(inode)))
        .collect())
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|data| data.ino())
}

/// The kernel returns whole records unless the buffer is smaller than one.
fn read_records<T: FromKernel>(
    mut file: File,
    buffer: &mut [u8],
    each: &mut impl FnMut(T),
) -> io::Result<()> {
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => buffer
                .get(..length)
                .unwrap_or_default()
                .chunks_exact(size_of::<T>())
                .filter_map(T::from_kernel)
                .for_each(&mut *each),
            // A long walk asks to be continued.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            Err(error) => return Err(error),
        }
    }
}
