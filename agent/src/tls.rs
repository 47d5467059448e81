//! HTTP above TLS: what chosen processes give their TLS library to write, and what it gives them to read.
//!
//! Programs at probes in the libraries of these processes hand on pieces of plaintext streams by the same rules as
//! for packets ([`weir_ebpf_common::http`]). A thread finds the processes and their libraries, also those that
//! begin later, and places the probes.

mod choice;
mod kernel;
mod library;
mod pieces;
mod targets;
mod watch;

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use rustix::event::{EventfdFlags, eventfd};
use weir_ebpf_common::{http::Piece, tls::count};
use weir_proto::flow::v1::Counter;

use self::{kernel::Kernel, pieces::Pieces, watch::Watch};
pub use self::{kernel::TlsError, library::Places};
use crate::{config::Tls, netflow::kernel::Chosen, status::counter};

/// What the thread that places probes has done.
#[derive(Debug, Default)]
struct Progress {
    /// Files in which there are probes.
    files: std::sync::atomic::AtomicU64,
    /// Files of chosen processes that could not be read or probed.
    refused: std::sync::atomic::AtomicU64,
    /// Chosen processes that there was no room for.
    no_room: std::sync::atomic::AtomicU64,
    /// Chosen processes.
    processes: std::sync::atomic::AtomicU64,
}

/// Probes in the TLS libraries of chosen processes. Dropping it removes them.
pub struct Probes {
    pieces: Pieces,
    kernel: kernel::Counts,
    hooks: Vec<Chosen>,
    progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Probes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probes")
            .field("hooks", &self.hooks)
            .finish_non_exhaustive()
    }
}

impl Probes {
    /// Loads the programs, places probes in what the chosen processes use now, and goes on doing so in a thread of
    /// its own.
    ///
    /// # Errors
    /// If this kernel, or what this agent may do, forbids probes in user space.
    pub fn start(config: &Tls) -> Result<Self, TlsError> {
        let mut kernel = Kernel::load(config)?;
        let hooks = kernel.hooks();
        let pieces = Pieces::new(kernel.take_pieces()?);
        let counts = kernel.take_counts()?;
        let progress = Arc::new(Progress::default());
        let mut watch = Watch::new(kernel, config, Arc::clone(&progress));
        watch.look_at_all();
        let stop = Arc::new(AtomicBool::new(false));
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| TlsError::Thread(error.into()))?;
        let wake = Arc::new(wake);
        let thread = thread::Builder::new()
            .name("tls".to_owned())
            .spawn({
                let (stop, wake) = (Arc::clone(&stop), Arc::clone(&wake));
                move || {
                    while !stop.load(Ordering::Relaxed) {
                        watch.wait_and_look(wake.as_fd());
                    }
                }
            })
            .map_err(TlsError::Thread)?;
        Ok(Self {
            pieces,
            kernel: counts,
            hooks,
            progress,
            stop,
            wake,
            thread: Some(thread),
        })
    }

    /// How plaintext, sockets and new processes are observed, and why not better.
    #[must_use]
    pub fn hooks(&self) -> &[Chosen] {
        &self.hooks
    }

    /// Readable when many pieces wait; a few wait without that.
    #[must_use]
    pub fn ready(&self) -> BorrowedFd<'_> {
        self.pieces.ready()
    }

    /// Takes what waits, in order, to be called several times a second; does not wait. How many pieces there were.
    ///
    /// A piece of a connection whose socket is not known yet comes as soon as it is, or not at all.
    pub fn drain(&mut self, take: impl FnMut(&Piece, &[u8])) -> u64 {
        self.pieces.drain(take)
    }

    /// Counters: what was read, how sockets were found, and every loss by cause.
    #[must_use]
    pub fn counters(&self) -> Vec<Counter> {
        let kernel = |index| self.kernel.get(index);
        let load = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
        let lost = [
            ("ring_full", kernel(count::RING_FULL)),
            ("unreadable", kernel(count::UNREADABLE)),
            ("table_full", kernel(count::TABLE_FULL)),
            ("unlinked", self.pieces.unlinked()),
            ("not_held", self.pieces.not_held()),
            ("file_refused", load(&self.progress.refused)),
            ("no_room_for_process", load(&self.progress.no_room)),
        ];
        let linked = [
            ("call", count::LINKED_BY_CALL),
            ("descriptor", count::LINKED_BY_DESCRIPTOR),
            ("size", count::LINKED_BY_SIZE),
        ];
        let plain = [
            ("tls_pieces_emitted", kernel(count::EMITTED)),
            ("tls_pieces_read", self.pieces.read()),
            ("tls_files_probed", load(&self.progress.files)),
            ("tls_processes", load(&self.progress.processes)),
            ("tls_relinked", kernel(count::RELINKED)),
            ("tls_not_http", kernel(count::NOT_HTTP)),
        ];
        let plain = plain.map(|(name, value)| counter(name, "", value));
        let linked = linked.map(|(by, index)| counter("tls_linked", by, kernel(index)));
        let lost = lost.map(|(cause, value)| counter("tls_lost", cause, value));
        plain.into_iter().chain(linked).chain(lost).collect()
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Without being woken, the thread looks within a second.
        let woken = rustix::io::write(&*self.wake, &1u64.to_ne_bytes()).map_err(io::Error::from);
        if let Err(error) = woken {
            tracing::debug!(error = crate::error_chain(&error), "cannot wake the thread");
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that places TLS probes has panicked");
        }
    }
}
