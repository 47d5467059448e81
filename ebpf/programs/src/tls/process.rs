//! Which processes are chosen: what they fork is, and what executes something else is not until the agent says so.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use weir_ebpf_common::tls::{Exec, Executable};

use crate::{
    maps::{TLS_EXECS, TLS_EXECUTABLES, TLS_PROCESSES},
    read::{Probe, Read as _, offset},
    task::Current as _,
};

/// A process has made another, or a thread.
#[inline(always)]
pub(crate) fn forked(parent: *const u8, child: *const u8) {
    let parent: u32 = Probe::at(parent, offset!(task_tgid));
    if TLS_PROCESSES.get_ptr(parent).is_none() {
        return;
    }
    let child: u32 = Probe::at(child, offset!(task_tgid));
    if child != parent {
        // Where there is no room for more, the agent says so.
        let _is_full = TLS_PROCESSES.insert(child, 1, 0);
        tell(child);
    }
}

/// The running process has begun to run another executable.
#[inline(always)]
pub(crate) fn executed() {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if TLS_EXECUTABLES.get_ptr(executable()).is_some() {
        let _is_full = TLS_PROCESSES.insert(pid, 1, 0);
    } else {
        let _was_not_there = TLS_PROCESSES.remove(pid);
    }
    tell(pid);
}

/// What the running process executes; zeros if it is not known.
#[inline(always)]
fn executable() -> Executable {
    let mm: u64 = Probe::at(Probe::task(), offset!(task_mm));
    let file: u64 = Probe::at(mm as *const u8, offset!(mm_exe));
    let inode: u64 = Probe::at(file as *const u8, offset!(file_inode));
    let inode = inode as *const u8;
    let system: u64 = Probe::at(inode, offset!(inode_super));
    Executable {
        inode: Probe::at(inode, offset!(inode_number)),
        device: Probe::at(system as *const u8, offset!(super_device)),
        reserved: 0,
    }
}

#[inline(always)]
fn tell(pid: u32) {
    // Where the ring is full, the agent finds it when it looks at all processes.
    if let Some(mut slot) = TLS_EXECS.reserve::<Exec>(0) {
        slot.write(Exec { pid, reserved: 0 });
        slot.submit(0);
    }
}

/// The running thread ends.
#[inline(always)]
pub(crate) fn exited() {
    let thread = bpf_get_current_pid_tgid();
    let (process, thread) = ((thread >> 32) as u32, thread as u32);
    if process == thread {
        let _was_not_there = TLS_PROCESSES.remove(process);
    }
}
