//! Finds the chosen processes and the files with a TLS library that they use, and places probes there.

use std::{
    fs,
    os::fd::BorrowedFd,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use hashbrown::{HashMap, HashSet};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    Progress,
    choice::{Choice, executable, executable_file},
    kernel::{Kernel, Placed},
    library::Places,
    targets::{FileId, Mapped, mapped},
};
use crate::config::{Scope, Tls};

/// How often all processes are looked at: rarely if the kernel tells of new ones.
const EVERY: Duration = Duration::from_secs(1);
const RARELY: Duration = Duration::from_secs(10);
/// A new process maps its libraries in its first milliseconds: it is looked at after this time, and again each time
/// it has doubled, up to the longest.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(2048);
/// New processes that are looked at again.
const MOST_NEW: usize = 4096;
/// Files that are remembered, those without a TLS library too. Past it, what was unused longest is forgotten.
const MOST_FILES: usize = 8192;

/// What is known of a file.
struct Known {
    /// Where probes belong; nowhere if there is no TLS library in it, or it cannot be read.
    places: Places,
    /// The probes in it, and for whom, if for one only.
    placed: Vec<(Option<u32>, Vec<Placed>)>,
    used: Instant,
}

/// A process that has begun to run another executable.
struct New {
    pid: u32,
    next: Instant,
    after: Duration,
}

/// The thread's state.
pub(super) struct Watch {
    kernel: Kernel,
    scope: Scope,
    choice: Choice,
    progress: Arc<Progress>,
    chosen: HashSet<u32>,
    files: HashMap<FileId, Known>,
    new: Vec<New>,
    looked: Instant,
}

impl Watch {
    pub(super) fn new(kernel: Kernel, config: &Tls, progress: Arc<Progress>) -> Self {
        Self {
            kernel,
            scope: config.scope,
            choice: Choice::new(config),
            progress,
            chosen: HashSet::new(),
            files: HashMap::new(),
            new: Vec::new(),
            looked: Instant::now(),
        }
    }

    /// Waits until there is something to look at, or `wake` is readable, and looks.
    pub(super) fn wait_and_look(&mut self, wake: BorrowedFd<'_>) {
        let now = Instant::now();
        let due = self.new.iter().map(|new| new.next).min();
        let due = due.unwrap_or(now + EVERY).min(self.looked + self.period());
        let wait = Timespec::try_from(due.saturating_duration_since(now)).unwrap_or_default();
        let mut fds = [
            PollFd::from_borrowed_fd(wake, PollFlags::IN),
            PollFd::from_borrowed_fd(self.kernel.ready(), PollFlags::IN),
        ];
        if let Err(error) = poll(&mut fds, Some(&wait)) {
            tracing::trace!(%error, "interrupted");
        }
        self.decide_new();
        self.look_at_new();
        if self.looked.elapsed() >= self.period() {
            self.look_at_all();
        }
    }

    /// Decides about the processes that the kernel tells of.
    fn decide_new(&mut self) {
        while let Some(pid) = self.kernel.next_exec() {
            self.begun(pid);
        }
    }

    fn period(&self) -> Duration {
        if self.kernel.tells_processes() {
            RARELY
        } else {
            EVERY
        }
    }

    /// A process has begun to run another executable.
    fn begun(&mut self, pid: u32) {
        self.chosen.remove(&pid);
        if !self.decide(pid) {
            // The kernel side may have chosen it by a file that has several names.
            self.kernel.forget(pid);
        } else if self.new.len() < MOST_NEW {
            self.new.retain(|new| new.pid != pid);
            self.new.push(New {
                pid,
                next: Instant::now() + FIRST_LOOK,
                after: FIRST_LOOK,
            });
        }
    }

    /// Chooses the process if it is to be. Whether it is.
    fn decide(&mut self, pid: u32) -> bool {
        let executable = executable(pid);
        let is_chosen = executable
            .as_ref()
            .is_some_and(|executable| self.choice.is_chosen(pid, executable));
        if is_chosen && self.chosen.insert(pid) {
            if let Err(error) = self.kernel.choose(pid) {
                self.progress.no_room.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(error = crate::error_chain(&error), pid, "no room");
            }
            let by_name = executable.filter(|path| self.choice.is_chosen_by_name(path));
            if let Some(file) = by_name.and_then(|_| executable_file(pid))
                && let Err(error) = self.kernel.choose_all_of(file)
            {
                tracing::debug!(error = crate::error_chain(&error), pid, "no room");
            }
            tracing::debug!(pid, "TLS of this process is read");
        } else if !is_chosen && self.chosen.remove(&pid) {
            self.kernel.forget(pid);
        }
        is_chosen
    }

    fn look_at_new(&mut self) {
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.new)
            .into_iter()
            .partition(|new| new.next <= now);
        self.new = later;
        for mut new in due {
            self.look_at(new.pid);
            new.after *= 2;
            if new.after <= LAST_LOOK && self.chosen.contains(&new.pid) {
                new.next = now + new.after;
                self.new.push(new);
            }
        }
    }

    /// Looks at every process there is.
    pub(super) fn look_at_all(&mut self) {
        self.looked = Instant::now();
        let mut there = HashSet::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            there.insert(pid);
            if self.decide(pid) {
                self.look_at(pid);
            }
        }
        let gone: Vec<u32> = self.chosen.difference(&there).copied().collect();
        for pid in gone {
            self.chosen.remove(&pid);
            self.kernel.forget(pid);
        }
        self.remove_unused();
        let chosen = self.chosen.len() as u64;
        self.progress.processes.store(chosen, Ordering::Relaxed);
    }

    /// Places probes in what a chosen process has mapped.
    fn look_at(&mut self, pid: u32) {
        let files = match mapped(pid) {
            Ok(files) => files,
            Err(error) => {
                tracing::trace!(%error, pid, "gone");
                return;
            }
        };
        for file in files {
            if !self.files.contains_key(&file.id) {
                // To read a file takes longer than some processes take to their first call.
                self.decide_new();
                let Some(places) = self.read(pid, &file) else {
                    // The process is gone; another one will show the file again.
                    return;
                };
                self.make_room();
                let known = Known {
                    places,
                    placed: Vec::new(),
                    used: Instant::now(),
                };
                self.files.insert(file.id, known);
            }
            if !self.place(pid, &file) {
                return;
            }
        }
        let probed = self.files.values().filter(|file| !file.placed.is_empty());
        let probed = probed.count() as u64;
        self.progress.files.store(probed, Ordering::Relaxed);
    }

    /// Finds where probes belong in a file. `None` if it cannot be had any more.
    fn read(&mut self, pid: u32, file: &Mapped) -> Option<Places> {
        let mut refusal = None;
        for path in file.paths(pid) {
            match Places::in_file(&path) {
                Ok(places) => return Some(places),
                Err(error) => {
                    refusal.get_or_insert(crate::error_chain(&error));
                }
            }
        }
        if !still_has(pid, file) {
            return None;
        }
        self.refused(pid, file, &refusal.unwrap_or_default());
        Some(Places::default())
    }

    /// Places probes in a file of a chosen process, if they belong there and are not there yet. `false` if the process
    /// is gone.
    fn place(&mut self, pid: u32, file: &Mapped) -> bool {
        let only = (self.scope == Scope::Process).then_some(pid);
        let Some(known) = self.files.get_mut(&file.id) else {
            return true;
        };
        known.used = Instant::now();
        if known.places.places.is_empty() || known.placed.iter().any(|(whose, _)| *whose == only) {
            return true;
        }
        let mut refusal = None;
        for path in file.paths(pid) {
            match self.kernel.place(&path, &known.places.places, only) {
                Ok(placed) => {
                    let probes = placed.len();
                    tracing::info!(file = file.name, pid, probes, "TLS probes placed");
                    known.placed.push((only, placed));
                    return true;
                }
                Err(error) => {
                    refusal.get_or_insert(crate::error_chain(&error));
                }
            }
        }
        if !still_has(pid, file) {
            return false;
        }
        known.places = Places::default();
        self.refused(pid, file, &refusal.unwrap_or_default());
        true
    }

    fn refused(&self, pid: u32, file: &Mapped, why: &str) {
        self.progress.refused.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(file = file.name, pid, why, "no TLS probes");
    }

    /// Removes the probes of processes that are gone.
    fn remove_unused(&mut self) {
        for known in self.files.values_mut() {
            let is_used =
                |(whose, _): &(Option<u32>, _)| whose.is_none_or(|pid| self.chosen.contains(&pid));
            let (used, unused) = std::mem::take(&mut known.placed)
                .into_iter()
                .partition(is_used);
            known.placed = used;
            for (_, placed) in unused {
                self.kernel.remove(placed);
            }
        }
    }

    /// Forgets the file that was unused longest if there are too many, with the probes in it.
    fn make_room(&mut self) {
        if self.files.len() < MOST_FILES {
            return;
        }
        let oldest = self.files.iter().min_by_key(|(_, known)| known.used);
        if let Some(id) = oldest.map(|(id, _)| *id)
            && let Some(known) = self.files.remove(&id)
        {
            for (_, placed) in known.placed {
                self.kernel.remove(placed);
            }
        }
    }
}

/// Whether the process is there and runs code from the file.
fn still_has(pid: u32, file: &Mapped) -> bool {
    mapped(pid).is_ok_and(|files| files.contains(file))
}
