//! Facts about processes: executable and container, from /proc.

use std::{fs, path::Path, sync::Arc};

use hashbrown::HashMap;
use weir_ebpf_common::netflow::NAME_LEN;

/// Length of a container id: 64 hexadecimal digits in every runtime we know.
const CONTAINER_ID_LEN: usize = 64;

/// Owner of a socket.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Process {
    /// 0 if unknown.
    pub(crate) pid: u32,
    /// Name of the executable file, empty if unknown.
    pub(crate) name: Box<str>,
    /// Empty outside containers.
    pub(crate) container: Box<str>,
}

/// Name as the kernel side copied it, zero-padded.
pub(crate) type KernelName = [u64; NAME_LEN / 8];

#[derive(Debug)]
struct Known {
    process: Arc<Process>,
    used: bool,
}

/// The processes that were seen lately.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    known: HashMap<(u32, KernelName), Known>,
}

impl Processes {
    /// The process `pid`, which runs the executable `name`; with an empty name /proc is asked for it.
    pub(crate) fn get(&mut self, pid: u32, name: KernelName) -> Arc<Process> {
        let known = self.known.entry((pid, name)).or_insert_with(|| Known {
            process: Arc::new(Process {
                pid,
                name: executable(pid, &name).into(),
                container: container(pid).into(),
            }),
            used: true,
        });
        known.used = true;
        Arc::clone(&known.process)
    }

    /// Forgets the processes that were not asked for since the last call: a process id may be used again.
    pub(crate) fn forget_unused(&mut self) {
        self.known
            .retain(|_, known| std::mem::take(&mut known.used));
    }
}

fn executable(pid: u32, name: &KernelName) -> String {
    let mut bytes = [0; NAME_LEN];
    for (to, word) in bytes.chunks_exact_mut(8).zip(name) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    if !bytes.is_empty() || pid == 0 {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let link = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let name = link.file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned()
}

fn container(pid: u32) -> String {
    if pid == 0 {
        return String::new();
    }
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    container_in(&groups).unwrap_or_default().to_owned()
}

/// Finds the container id in the text of `/proc/PID/cgroup`.
///
/// Runtimes name the control group after the container: plainly (`/docker/ID`, `/kubepods/…/ID`) or as a
/// systemd unit (`docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`, `libpod-ID.scope`).
/// The innermost one counts: containers nest.
fn container_in(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        Path::new(path).iter().rev().find_map(|part| {
            let part = part.to_str()?;
            let unit = part.strip_suffix(".scope").unwrap_or(part);
            let id = unit.rsplit(['-', ':']).next()?;
            let is_id =
                id.len() == CONTAINER_ID_LEN && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_id.then_some(id)
        })
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

    #[test]
    fn a_name_from_the_kernel_is_taken_before_proc() {
        let mut name = [0; NAME_LEN / 8];
        name[0] = u64::from_ne_bytes(*b"python3.");
        name[1] = u64::from_ne_bytes(*b"11\0\0\0\0\0\0");
        assert_eq!(executable(std::process::id(), &name), "python3.11");
    }

    #[test]
    fn a_name_that_the_kernel_did_not_give_comes_from_proc() {
        let own = std::env::current_exe().unwrap();
        let expected = own.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(executable(std::process::id(), &[0; NAME_LEN / 8]), expected);
    }
}
