//! Reading a pass of an iterator program: records, one after the other, like a file.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::OwnedFd,
};

use super::syscall::{FromKernel, open_iterator};
use crate::namespaces::Namespaces;

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
    pub(super) fn run<T: FromKernel>(
        &mut self,
        mut each: impl FnMut(T) + Send,
    ) -> Result<(), PassError> {
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

    fn run_in_namespaces<T: FromKernel>(
        &mut self,
        each: &mut (impl FnMut(T) + Send),
    ) -> io::Result<()> {
        let namespaces = Namespaces::find().map_err(io::Error::other)?;
        let (link, buffer) = (&self.link, &mut self.buffer);
        let passes = namespaces
            .each(|_| open_iterator(link).and_then(|file| read_records(file, buffer, each)));
        passes
            .into_iter()
            .try_for_each(|(_, entered)| entered.map_err(io::Error::other)?)
    }
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
