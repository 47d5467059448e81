//! Containers, by the control groups that their runtimes make.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use hashbrown::HashMap;

/// Length of a container id: 64 hexadecimal digits in every runtime we know.
const ID_LEN: usize = 64;

/// Folders looked at when a control group is searched; a node has some thousands at most.
const MOST_FOLDERS: usize = 50_000;

#[derive(Debug)]
struct Known {
    container: Box<str>,
    used: bool,
}

/// Container ids of the control groups that were seen lately.
#[derive(Debug, Default)]
pub(crate) struct Containers {
    known: HashMap<u64, Known>,
}

impl Containers {
    /// The container of a process that ran in the control group `cgroup` of the unified hierarchy; empty if it ran
    /// in none. The process may be gone, and its id may be another one's by now: the control group decides.
    pub(crate) fn of(&mut self, pid: u32, cgroup: u64) -> Box<str> {
        if let Some(known) = self.known.get_mut(&cgroup) {
            known.used = true;
            return known.container.clone();
        }
        if pid == 0 {
            return Box::default();
        }
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let unified = groups.lines().find_map(|line| line.strip_prefix("0::"));
        let root = unified_root();
        let is_of_this_process = match (unified, &root) {
            (Some(path), Some(root)) if cgroup != 0 => {
                inode(&root.join(path.trim_start_matches('/'))) == Some(cgroup)
            }
            // Without a unified hierarchy, /proc is all there is.
            _ => !groups.is_empty(),
        };
        if is_of_this_process {
            let container = container_in(&groups).unwrap_or_default();
            // On hosts where runtimes use the version 1 hierarchies, all of them share one unified group.
            if unified.and_then(id_in_path) == Some(container) {
                self.remember(cgroup, container);
            }
            return container.into();
        }
        let found = root
            .and_then(|root| search(root, cgroup))
            .and_then(|path| id_in_path(path.to_str()?).map(str::to_owned))
            .unwrap_or_default();
        self.remember(cgroup, &found);
        found.into()
    }

    fn remember(&mut self, cgroup: u64, container: &str) {
        if cgroup != 0 {
            let container = container.into();
            self.known.insert(
                cgroup,
                Known {
                    container,
                    used: true,
                },
            );
        }
    }

    /// Forgets the control groups that were not asked for since the last call.
    pub(crate) fn forget_unused(&mut self) {
        self.known
            .retain(|_, known| std::mem::take(&mut known.used));
    }
}

/// Where the unified hierarchy is mounted: alone, or beside the older ones.
fn unified_root() -> Option<PathBuf> {
    [
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/unified/cgroup.procs",
    ]
    .into_iter()
    .map(Path::new)
    .find(|file| file.exists())
    .and_then(|file| file.parent().map(Path::to_owned))
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|data| data.ino())
}

/// Looks for the folder with this inode.
fn search(root: PathBuf, cgroup: u64) -> Option<PathBuf> {
    let mut left = vec![root];
    for _ in 0..MOST_FOLDERS {
        let folder = left.pop()?;
        if inode(&folder) == Some(cgroup) {
            return Some(folder);
        }
        let inside = fs::read_dir(&folder).into_iter().flatten().flatten();
        left.extend(
            inside
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
    None
}

/// Finds the container id in the text of `/proc/PID/cgroup`.
fn container_in(groups: &str) -> Option<&str> {
    groups
        .lines()
        .find_map(|line| id_in_path(line.splitn(3, ':').nth(2)?))
}

/// Finds the container id in the path of a control group.
///
/// Runtimes name the control group after the container: plainly (`/docker/ID`, `/kubepods/…/ID`) or as a
/// systemd unit (`docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`, `libpod-ID.scope`).
/// The innermost one counts: containers nest.
fn id_in_path(path: &str) -> Option<&str> {
    Path::new(path).iter().rev().find_map(|part| {
        let part = part.to_str()?;
        let unit = part.strip_suffix(".scope").unwrap_or(part);
        let id = unit.rsplit(['-', ':']).next()?;
        let is_id = id.len() == ID_LEN && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f4e2d1c0b9a88776655443322110ffeeddccbbaa99887766554433221100abc";

    #[test]
    fn the_container_of_every_common_runtime_is_found() {
        for path in [
            format!("0::/docker/{ID}"),
            format!("0::/system.slice/docker-{ID}.scope"),
            format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"),
            format!("0::/kubepods.slice/kubepods-besteffort.slice/crio-{ID}.scope/container"),
            format!("0::/machine.slice/libpod-{ID}.scope"),
            format!("12:cpu:/kubepods/burstable/podx/{ID}\n0::/"),
            format!("0::/kubelet/kubepods-podx.slice:cri-containerd:{ID}"),
        ] {
            assert_eq!(container_in(&path), Some(ID), "{path}");
        }
    }

    #[test]
    fn a_process_outside_containers_has_none() {
        for path in [
            "",
            "0::/",
            "0::/user.slice/user-0.slice/session-1.scope",
            "garbage",
            "1:name=systemd:/init.scope",
        ] {
            assert_eq!(container_in(path), None, "{path}");
        }
    }
}
