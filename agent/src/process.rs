//! Facts about processes: executable and container, from /proc.

use std::{fs, sync::Arc};

use hashbrown::HashMap;
use weir_ebpf_common::netflow::NAME_LEN;

use crate::container::Containers;

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
    known: HashMap<(u32, KernelName, u64), Known>,
    containers: Containers,
}

impl Processes {
    /// The process `pid`, which runs the executable `name` in the control group `cgroup`. What is missing, an empty
    /// name or a control group of 0, is asked of /proc.
    pub(crate) fn get(&mut self, pid: u32, name: KernelName, cgroup: u64) -> Arc<Process> {
        let containers = &mut self.containers;
        let known = self
            .known
            .entry((pid, name, cgroup))
            .or_insert_with(|| Known {
                process: Arc::new(Process {
                    pid,
                    name: executable(pid, &name).into(),
                    container: containers.of(pid, cgroup),
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
        self.containers.forget_unused();
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

#[cfg(test)]
mod tests {
    use super::*;

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
