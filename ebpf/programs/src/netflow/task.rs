//! Which process a socket belongs to.

use aya_ebpf::{
    cty::c_void,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{bpf_get_current_cgroup_id, bpf_get_current_task, bpf_get_current_task_btf},
    },
};
use weir_ebpf_common::netflow::{Facts, NAME_LEN};

use crate::read::{Direct, Probe, Read, offset};

/// The running task, as the reader needs it.
pub(crate) trait Current: Read {
    /// Pointer to the running `task_struct`.
    fn task() -> *const u8;
}

impl Current for Direct {
    #[inline(always)]
    fn task() -> *const u8 {
        // SAFETY: a helper without arguments; always the running task.
        let task: *mut c_void = unsafe { bpf_get_current_task_btf() }.cast();
        task.cast_const().cast()
    }
}

impl Current for Probe {
    #[inline(always)]
    fn task() -> *const u8 {
        // SAFETY: a helper without arguments.
        (unsafe { bpf_get_current_task() }) as *const u8
    }
}

/// Process id of the running task.
#[inline(always)]
pub(crate) fn current_pid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// Control group of the running task in the unified hierarchy.
#[inline(always)]
pub(crate) fn current_cgroup() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_get_current_cgroup_id() }
}

/// Control group of a task in the unified hierarchy; 0 if the kernel has none.
#[inline(always)]
pub(crate) fn cgroup_of<R: Read>(task: *const u8) -> u64 {
    let groups: u64 = R::at(task, offset!(task_cgroups));
    let group: u64 = R::at(groups as *const u8, offset!(cgroups_unified));
    let folder: u64 = R::at(group as *const u8, offset!(cgroup_folder));
    R::at(folder as *const u8, offset!(folder_id))
}

/// Makes the running process the owner.
///
/// A process that is being killed closes its sockets when its memory is gone and its executable cannot
/// be named: the name then stays what it was.
#[inline(always)]
pub(crate) fn own_by_current<R: Current>(facts: &mut Facts, how: u8) {
    facts.pid = current_pid();
    facts.cgroup = current_cgroup();
    facts.owner = how;
    name_of::<R>(&mut facts.name, R::task());
}

/// Copies the name of a task's executable, if it is short enough to be stored in its directory entry
/// and the task has one. Else the words stay as they are.
#[inline(always)]
pub(crate) fn name_of<R: Read>(name: &mut [u64; NAME_LEN / 8], task: *const u8) {
    let mm: u64 = R::at(task, offset!(task_mm));
    if mm == 0 {
        return;
    }
    let file: u64 = R::at(mm as *const u8, offset!(mm_exe));
    if file == 0 {
        return;
    }
    let dentry: u64 = R::at(file as *const u8, offset!(file_dentry));
    if dentry == 0 {
        return;
    }
    let dentry = dentry as *const u8;
    let length: u32 = R::at(dentry, offset!(dentry_name_len));
    let at = offset!(dentry_name);
    if length == 0 || length as usize >= NAME_LEN {
        // Stored elsewhere: the agent asks /proc.
        name[0] = 0;
        return;
    }
    name[0] = R::at(dentry, at);
    name[1] = R::at(dentry, at.wrapping_add(8));
    name[2] = R::at(dentry, at.wrapping_add(16));
    name[3] = R::at(dentry, at.wrapping_add(24));
    name[4] = R::at(dentry, at.wrapping_add(32));
}
