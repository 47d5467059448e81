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

/// The `batch` part of `union bpf_attr`.
#[repr(C)]
struct Batch {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// The part of `union bpf_attr` for one element of a map.
#[repr(C)]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_MAP_LOOKUP_AND_DELETE_ELEM: libc::c_long = 21;
/// An errno of the kernel's own (`include/linux/errno.h`), which libc does not have.
const ENOTSUPP: i32 = 524;
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;

/// Reads up to `keys.len()` entries of a hash map, on from `place` (`None` is the beginning), and moves `place`;
/// it is `None` again after the last one. Returns how many were read.
///
/// # Errors
/// `ENOSPC` if a bucket has more entries than fit; otherwise what the kernel answers.
pub(super) fn read_batch<K: FromKernel, V: FromKernel>(
    map: BorrowedFd<'_>,
    place: &mut Option<u64>,
    keys: &mut [K],
    values: &mut [V],
) -> io::Result<usize> {
    let mut next = 0u64;
    let from = *place;
    let mut batch = Batch {
        from: from
            .as_ref()
            .map_or(0, |from| std::ptr::from_ref(from) as u64),
        to: std::ptr::from_mut(&mut next) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: keys.len().min(values.len()) as u32,
        map: map.as_raw_fd() as u32,
        element_flags: 0,
        flags: 0,
    };
    // SAFETY: the kernel writes `count` keys and values of the map's sizes, for which the caller's types stand,
    // and at most eight bytes of the place; all live over the call, and any bytes are a value of them.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_LOOKUP_BATCH,
            std::ptr::from_mut(&mut batch),
            size_of::<Batch>(),
        )
    };
    if answer < 0 {
        let error = io::Error::last_os_error();
        // The end of the map; what came before it was read.
        if error.raw_os_error() != Some(libc::ENOENT) {
            return Err(error);
        }
        *place = None;
    } else {
        *place = Some(next);
    }
    Ok(batch.count as usize)
}

/// Takes one entry out of a hash map. `None` if it is not there.
///
/// Before Linux 5.14 the kernel has no such command for hash maps: there the entry is read and then deleted, and
/// what is added to it in between, a microsecond, is lost.
///
/// # Errors
/// What the kernel answers.
pub(super) fn take_entry<K: FromKernel, V: FromKernel + Default>(
    map: BorrowedFd<'_>,
    key: &K,
) -> io::Result<Option<V>> {
    match on_entry(BPF_MAP_LOOKUP_AND_DELETE_ELEM, map, key) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | ENOTSUPP)) => {
            let value = on_entry(BPF_MAP_LOOKUP_ELEM, map, key)?;
            on_entry::<K, V>(BPF_MAP_DELETE_ELEM, map, key)?;
            Ok(value)
        }
        done => done,
    }
}

/// Runs a command on one entry and gives the value that the kernel has written, if it writes one. `None` if there is
/// no such entry.
fn on_entry<K: FromKernel, V: FromKernel + Default>(
    command: libc::c_long,
    map: BorrowedFd<'_>,
    key: &K,
) -> io::Result<Option<V>> {
    let mut value = V::default();
    let deletes = command == BPF_MAP_DELETE_ELEM;
    let element = Element {
        map: map.as_raw_fd() as u32,
        padding: 0,
        key: std::ptr::from_ref(key) as u64,
        // This command refuses attributes that it does not use.
        value: if deletes {
            0
        } else {
            std::ptr::from_mut(&mut value) as u64
        },
        flags: 0,
    };
    // SAFETY: as for the batch, with one entry.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(&element),
            size_of::<Element>(),
        )
    };
    if answer == 0 {
        return Ok(Some(value));
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ENOENT) {
        return Ok(None);
    }
    Err(error)
}

/// Gives memory that was freed back to the kernel.
///
/// Parsing the kernel's BTF takes 25 MB for a moment. glibc raises its limits with every large block that is
/// freed, and would keep 14 MB of it for as long as the agent lives.
pub(crate) fn release_freed_memory() {
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
pub(crate) unsafe trait FromKernel: Copy {
    /// Reads from the front of `bytes`, which need not be aligned. `None` if they are too short.
    fn from_kernel(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..size_of::<Self>())?;
        // SAFETY: the length was checked, and by the contract of the trait any bytes are a value.
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }
}

// SAFETY: integers only, its size asserted to be the sum of its fields beside its definition.
unsafe impl FromKernel for weir_ebpf_common::netflow::TcpRecord {}
// SAFETY: the same.
unsafe impl FromKernel for weir_ebpf_common::netflow::udp::UdpKey {}
// SAFETY: the same.
unsafe impl FromKernel for weir_ebpf_common::netflow::udp::UdpFlow {}
// SAFETY: the same.
unsafe impl FromKernel for weir_ebpf_common::netflow::udp::UdpRecord {}

// SAFETY: the same.
unsafe impl FromKernel for weir_ebpf_common::http::Piece {}
// SAFETY: the same.
unsafe impl FromKernel for weir_ebpf_common::http::HttpKey {}
// SAFETY: the same.
unsafe impl FromKernel for weir_ebpf_common::http::HttpTally {}
// SAFETY: the same.
unsafe impl FromKernel for weir_ebpf_common::tls::TlsPiece {}
// SAFETY: the same.
unsafe impl FromKernel for weir_ebpf_common::tls::Exec {}

/// A value for a read-only global of the programs.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Global<T>(pub(crate) T);

// SAFETY: `u32` fields only.
unsafe impl aya::Pod for Global<weir_ebpf_common::offsets::Offsets> {}
// SAFETY: integers only, without padding.
unsafe impl aya::Pod for Global<weir_ebpf_common::tls::Executable> {}
// SAFETY: integers only, without padding.
unsafe impl aya::Pod for Global<weir_ebpf_common::netflow::Facts> {}
// SAFETY: the same.
unsafe impl aya::Pod for Global<weir_ebpf_common::netflow::ListenKey> {}
