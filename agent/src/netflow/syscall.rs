//! Everything of the agent that needs `unsafe`: two `bpf(2)` commands that aya does not offer, and the bytes that
//! the kernel side writes.

#![expect(
    unsafe_code,
    reason = "system calls without a safe wrapper, and structs that the kernel side fills"
)]

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

/// `BPF_LINK_CREATE` and `BPF_ITER_CREATE` of `enum bpf_cmd`, `BPF_TRACE_ITER` of `enum bpf_attach_type`
/// (`include/uapi/linux/bpf.h`).
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;
const BPF_TRACE_ITER: u32 = 28;

/// The `link_create` part of `union bpf_attr`.
#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    info: u64,
    info_len: u32,
    padding: u32,
}

/// The `iter_create` part of `union bpf_attr`.
#[repr(C)]
struct IterCreate {
    link: u32,
    flags: u32,
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of a struct that lives over the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both commands return a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Attaches an iterator program, to one map if it walks maps.
///
/// # Errors
/// What the kernel answers, for example `EPERM` without `CAP_BPF` and `CAP_PERFMON`.
pub(super) fn attach_iterator(
    program: BorrowedFd<'_>,
    map: Option<BorrowedFd<'_>>,
) -> io::Result<OwnedFd> {
    // `union bpf_iter_link_info` begins with the map's descriptor.
    let info = map.map(|map| map.as_raw_fd() as u32);
    bpf(
        BPF_LINK_CREATE,
        &LinkCreate {
            program: program.as_raw_fd() as u32,
            target: 0,
            attach_type: BPF_TRACE_ITER,
            flags: 0,
            info: info.as_ref().map_or(0, |fd| std::ptr::from_ref(fd) as u64),
            info_len: if info.is_some() { 4 } else { 0 },
            padding: 0,
        },
    )
}

/// Opens a new pass of an attached iterator, to be read like a file. It walks what the calling thread's
/// network namespace has, where the kernel's iterator is bound to one.
///
/// # Errors
/// What the kernel answers.
pub(super) fn open_iterator(link: impl AsFd) -> io::Result<File> {
    let link = link.as_fd().as_raw_fd() as u32;
    bpf(BPF_ITER_CREATE, &IterCreate { link, flags: 0 }).map(File::from)
}

/// Gives memory that was freed back to the kernel.
///
/// Parsing the kernel's BTF takes 25 MB for a moment. glibc raises its limits with every large block that is
/// freed, and would keep 14 MB of it for as long as the agent lives.
pub(super) fn release_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches only what the allocator knows to be free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A type that may be read from any bytes of its size.
///
/// # Safety
/// The type has no padding, no pointer, and no bit pattern that is not a value.
pub(super) unsafe trait FromKernel: Copy {
    /// Reads from the front of `bytes`, which need not be aligned. `None` if they are too short.
    fn from_kernel(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..size_of::<Self>())?;
        // SAFETY: the length was checked, and by the contract of the trait any bytes are a value.
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }
}

// SAFETY: integers only, its size asserted to be the sum of its fields beside its definition.
unsafe impl FromKernel for weir_ebpf_common::netflow::TcpRecord {}

/// The offsets as a read-only global of the programs.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct OffsetsGlobal(pub(super) weir_ebpf_common::offsets::Offsets);

// SAFETY: `u32` fields only.
unsafe impl aya::Pod for OffsetsGlobal {}
