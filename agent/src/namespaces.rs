//! The network namespaces of this node.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::Path,
    thread,
};

use hashbrown::HashSet;
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

/// Namespaces that are kept. Each costs one descriptor here, and up to four more in a collector.
pub const MOST: usize = 4096;

/// A network namespace, held open: its number cannot go to another while we have it.
#[derive(Debug)]
pub struct Namespace {
    inode: u32,
    file: File,
}

impl Namespace {
    /// Inode number, as the `netns` tag has it.
    #[must_use]
    pub fn inode(&self) -> u32 {
        self.inode
    }
}

/// Why nothing could be done in a namespace.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The namespace did not let us in.
    #[error("cannot enter the network namespace {netns} (CAP_SYS_ADMIN is needed)")]
    Refused {
        /// Inode number.
        netns: u32,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// There is no thread to go there with.
    #[error("cannot start a thread to enter network namespaces with")]
    Thread(#[source] io::Error),
}

/// Why the namespaces could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub struct ListError {
    path: &'static str,
    #[source]
    source: io::Error,
}

/// The network namespaces that a process is in, or that `ip netns` has named.
///
/// A namespace held open stays alive. So [`Namespaces::refresh`], called once a period, lets go of those that
/// nobody else is in any more; who keeps sockets of a namespace must then drop them too.
///
/// Not found: a namespace that only a socket or a mount outside `/run/netns` keeps alive, and one that only a
/// thread other than a process's first is in.
#[derive(Debug)]
pub struct Namespaces {
    own: u32,
    known: BTreeMap<u32, Namespace>,
    left_out: usize,
}

impl Namespaces {
    /// The namespaces that are there now.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn find() -> Result<Self, ListError> {
        let own = fs::metadata(OWN).map_err(|source| ListError { path: OWN, source })?;
        let mut namespaces = Self {
            own: own.ino() as u32,
            known: BTreeMap::new(),
            left_out: 0,
        };
        namespaces.refresh()?;
        Ok(namespaces)
    }

    /// Finds new namespaces and lets go of those that are not found any more.
    ///
    /// Costs a `readlink` for each process and a `stat` for each name: 4.5 ms for a thousand names.
    ///
    /// # Errors
    /// If /proc cannot be read. What was known stays.
    pub fn refresh(&mut self) -> Result<(), ListError> {
        let device = fs::metadata(OWN)
            .map_err(|source| ListError { path: OWN, source })?
            .dev();
        let mut found = HashSet::new();
        self.left_out = 0;
        // The own one first, so that it is never left out.
        self.note(Path::new(OWN), self.own, device, &mut found);
        let processes = fs::read_dir("/proc").map_err(|source| ListError {
            path: "/proc",
            source,
        })?;
        for entry in processes.flatten() {
            let name = entry.file_name();
            if !name.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
                continue;
            }
            let path = entry.path().join("ns/net");
            // The process may be gone by now.
            let Ok(link) = fs::read_link(&path) else {
                continue;
            };
            if let Some(inode) = link.to_str().and_then(inode_in) {
                self.note(&path, inode, device, &mut found);
            }
        }
        for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
            let path = entry.path();
            if let Ok(data) = fs::metadata(&path) {
                self.note(&path, data.ino() as u32, device, &mut found);
            }
        }
        self.known.retain(|inode, _| found.contains(inode));
        Ok(())
    }

    fn note(&mut self, path: &Path, inode: u32, device: u64, found: &mut HashSet<u32>) {
        if found.contains(&inode) {
            return;
        }
        if self.known.contains_key(&inode) {
            found.insert(inode);
            return;
        }
        if self.known.len() >= MOST {
            self.left_out += usize::from(found.insert(inode));
            return;
        }
        let Ok(file) = File::open(path) else { return };
        // What was opened counts: a process may have moved on, and a name may be left without its namespace.
        let Ok(data) = file.metadata() else { return };
        if data.dev() != device {
            return;
        }
        let inode = data.ino() as u32;
        found.insert(inode);
        self.known.insert(inode, Namespace { inode, file });
    }

    /// Number of namespaces that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none; there is always the own one unless /proc is not what it should be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Namespaces that the last refresh found but for which there was no room ([`MOST`]).
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The namespace of this process.
    #[must_use]
    pub fn own(&self) -> u32 {
        self.own
    }

    /// Whether the last refresh found this one.
    #[must_use]
    pub fn contains(&self, inode: u32) -> bool {
        self.known.contains_key(&inode)
    }

    /// Those that the last refresh found.
    pub fn inodes(&self) -> impl Iterator<Item = u32> {
        self.known.keys().copied()
    }

    /// Runs `run` inside each namespace, and returns what it gave. The own namespace needs no capability.
    ///
    /// The calling thread does not move: a thread of its own goes from one namespace to the next and ends in
    /// the last, so that no thread can be left in a wrong place. What is opened inside (a netlink
    /// socket, an iterator, a file of `/proc/thread-self/net`) stays bound to its namespace and can be read outside.
    pub fn each<T: Send>(
        &self,
        run: impl FnMut(&Namespace) -> T + Send,
    ) -> Vec<(u32, Result<T, EnterError>)> {
        self.each_of(|_| true, run)
    }

    /// As [`Namespaces::each`], only in those that `wanted` chooses by inode number.
    pub fn each_of<T: Send>(
        &self,
        wanted: impl Fn(u32) -> bool,
        mut run: impl FnMut(&Namespace) -> T + Send,
    ) -> Vec<(u32, Result<T, EnterError>)> {
        let own = self.known.get(&self.own);
        let others = self.known.values().filter(|other| other.inode != self.own);
        let chosen: Vec<&Namespace> = own
            .into_iter()
            .chain(others)
            .filter(|namespace| wanted(namespace.inode))
            .collect();
        if chosen.is_empty() {
            return Vec::new();
        }
        let own = self.own;
        let visit = || {
            chosen
                .iter()
                .map(|namespace| {
                    (
                        namespace.inode,
                        enter(namespace, own).map(|()| run(namespace)),
                    )
                })
                .collect()
        };
        thread::scope(|scope| {
            let visitor = thread::Builder::new()
                .name("namespaces".to_owned())
                .spawn_scoped(scope, visit);
            let failed = match visitor {
                Ok(visitor) => match visitor.join() {
                    Ok(visited) => return visited,
                    Err(panic) => std::panic::resume_unwind(panic),
                },
                Err(error) => error,
            };
            vec![(own, Err(EnterError::Thread(failed)))]
        })
    }
}

const OWN: &str = "/proc/thread-self/ns/net";

/// The own namespace comes first, when the thread is still in it.
fn enter(namespace: &Namespace, own: u32) -> Result<(), EnterError> {
    if namespace.inode == own {
        return Ok(());
    }
    move_into_link_name_space(namespace.file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(
        |errno| EnterError::Refused {
            netns: namespace.inode,
            source: errno.into(),
        },
    )
}

/// Number in the target of a link like `net:[4026531840]`.
fn inode_in(link: &str) -> Option<u32> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// Raises the limit of open files as far as this process may: a thousand namespaces need several thousand.
/// Returns the limit, `None` if there is none.
pub fn raise_open_files_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_is_found_and_needs_no_capability() {
        let namespaces = Namespaces::find().unwrap();
        let link = fs::read_link(OWN).unwrap();
        assert_eq!(inode_in(link.to_str().unwrap()), Some(namespaces.own()));
        assert!(namespaces.contains(namespaces.own()));
        let visited = namespaces.each_of(
            |inode| inode == namespaces.own(),
            |_| fs::read_link(OWN).unwrap(),
        );
        assert_eq!(visited.len(), 1);
        assert_eq!(visited[0].1.as_ref().unwrap(), &link);
    }

    #[test]
    fn only_links_of_network_namespaces_are_read() {
        assert_eq!(inode_in("net:[4026531840]"), Some(4_026_531_840));
        for link in ["net:[]", "mnt:[4026531840]", "net:[1", "", "net:[-1]"] {
            assert_eq!(inode_in(link), None, "{link}");
        }
    }
}
