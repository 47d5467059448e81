//! The root of the unified control group hierarchy, where programs see the packets of every socket.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::PathBuf,
};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Inode of the first control group namespace (`PROC_CGROUP_INIT_INO`, the kernel's `include/linux/proc_ns.h`).
const FIRST_NAMESPACE: u64 = 0xEFFF_FFFB;

/// There is no unified hierarchy and none can be made.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A mounted one cannot be opened.
    #[error("cannot open the control groups mounted at {}", path.display())]
    Open {
        /// Where they are mounted.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// None is mounted, and the kernel does not give us one.
    #[error("no unified control groups (cgroup2) are mounted, and mounting them failed")]
    Mount(#[source] io::Error),
}

/// The root folder, open.
#[derive(Debug)]
pub(crate) struct Root {
    folder: OwnedFd,
    whole: bool,
}

impl Root {
    /// Opens the root where it is mounted; where it is not (hosts with version 1 only), it is mounted for this
    /// process alone, at no place in the file system. Sockets belong to it all the same.
    ///
    /// # Errors
    /// If there is no way to it.
    pub(crate) fn open() -> Result<Self, CgroupError> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let folder = match mounted_root(&mounts) {
            Some(path) => match File::open(&path) {
                Ok(file) => file.into(),
                Err(source) => return Err(CgroupError::Open { path, source }),
            },
            None => mount().map_err(CgroupError::Mount)?,
        };
        let namespace = fs::metadata("/proc/self/ns/cgroup").map_or(0, |data| data.ino());
        Ok(Self {
            folder,
            whole: namespace == FIRST_NAMESPACE,
        })
    }

    /// What cannot be seen from this root; empty if it is the host's.
    pub(crate) fn limits(&self) -> &'static str {
        if self.whole {
            ""
        } else {
            "the agent has a control group namespace of its own: only sockets of that are seen (run it in the host's)"
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

/// Where `/proc/PID/mountinfo` says that the root of the hierarchy is mounted. A mount of a part of it has
/// another root than `/` in the fourth column.
fn mounted_root(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let mut columns = mount.split(' ').skip(3);
        let (root, place) = (columns.next()?, columns.next()?);
        (root == "/" && source.split(' ').next()? == "cgroup2").then(|| place.into())
    })
}

fn mount() -> io::Result<OwnedFd> {
    let filesystem = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(filesystem.as_fd())?;
    Ok(fsmount(
        filesystem.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_on_unified_and_on_hybrid_hosts() {
        let unified = "24 30 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let hybrid = "30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            32 30 0:28 / /sys/fs/cgroup/unified rw shared:9 master:2 - cgroup2 cgroup2 rw\n";
        assert_eq!(mounted_root(unified), Some("/sys/fs/cgroup".into()));
        assert_eq!(mounted_root(hybrid), Some("/sys/fs/cgroup/unified".into()));
    }

    #[test]
    fn a_part_of_the_hierarchy_is_not_taken_for_its_root() {
        let part = "24 30 0:22 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        for mounts in [part, "", "garbage", "1 2 3 - cgroup2"] {
            assert_eq!(mounted_root(mounts), None, "{mounts}");
        }
    }
}
