//! The system calls of packet sockets.

#![expect(
    unsafe_code,
    reason = "socket options, an address and a timestamp without a safe wrapper, and memory shared with the kernel"
)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

/// Counts of `PACKET_STATISTICS` since they were last read.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Statistics {
    /// Packets that passed the filter, with those that were dropped.
    pub(super) packets: u32,
    /// Those for which there was no room.
    pub(super) drops: u32,
    freezes: u32,
}

/// Sets an option of a packet socket, or of its socket layer.
pub(super) fn set_option<T>(
    socket: impl AsFd,
    level: i32,
    option: i32,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of a value that lives over the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as u32,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Reads the counts, which starts them anew.
pub(super) fn statistics(socket: BorrowedFd<'_>) -> io::Result<Statistics> {
    let mut statistics = Statistics::default();
    let mut length = size_of::<Statistics>() as u32;
    // SAFETY: the kernel writes at most `length` bytes into a struct of plain numbers that lives over the call.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    if done == 0 {
        Ok(statistics)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// From now on the socket takes the packets of every device of its namespace.
pub(super) fn bind_to_every_device(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a struct of plain numbers, for which 0 is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: the kernel reads an address that lives over the call, with its length.
    let done = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as u32,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What came with a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    /// Length of the packet, which may be more than the buffer took.
    pub(super) length: usize,
    /// `CLOCK_REALTIME`; 0 if the kernel did not say.
    pub(super) time_ns: u64,
    pub(super) device: u32,
    pub(super) kind: u8,
    pub(super) link: u16,
}

/// Room for one control message with a time.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// The next packet, if one waits.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    // SAFETY: structs of plain numbers and pointers, for which 0 is a value.
    let (mut from, mut message): (libc::sockaddr_ll, libc::msghdr) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    let mut control = Control([0; 64]);
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = size_of::<libc::sockaddr_ll>() as u32;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control.0).cast();
    message.msg_controllen = control.0.len();
    // SAFETY: every pointer is to memory that lives over the call, with its length.
    let length = unsafe {
        libc::recvmsg(
            socket.as_raw_fd(),
            &raw mut message,
            libc::MSG_DONTWAIT | libc::MSG_TRUNC,
        )
    };
    if length < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Received {
        length: length as usize,
        time_ns: time_of(&message),
        device: from.sll_ifindex as u32,
        kind: from.sll_pkttype,
        link: from.sll_hatype,
    })
}

fn time_of(message: &libc::msghdr) -> u64 {
    // SAFETY: the kernel has filled the buffer of control messages, and the macros stay inside of it.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(message);
        if first.is_null()
            || (*first).cmsg_level != libc::SOL_SOCKET
            || (*first).cmsg_type != libc::SCM_TIMESTAMPNS
        {
            return 0;
        }
        let time: libc::timespec = std::ptr::read_unaligned(libc::CMSG_DATA(first).cast());
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

/// The memory of a ring, shared with the kernel: blocks, each of which belongs to one of us.
#[derive(Debug)]
pub(super) struct Blocks {
    start: NonNull<u8>,
    size: usize,
    count: usize,
}

// SAFETY: the memory belongs to this value alone, and nothing in it to a thread.
unsafe impl Send for Blocks {}

/// `TP_STATUS_USER`: the block is ours.
const OURS: u32 = 1;
/// Where `struct tpacket_block_desc` has its status.
const STATUS: usize = 8;

impl Blocks {
    /// Maps the ring of `socket`, which has `count` blocks of `size` bytes.
    pub(super) fn map(socket: BorrowedFd<'_>, size: usize, count: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at a place that the kernel chooses.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size * count,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, size, count })
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Calls `read` with a block if it is ours, and gives it back to the kernel.
    pub(super) fn read(&mut self, index: usize, read: impl FnOnce(&[u8])) -> bool {
        if index >= self.count {
            return false;
        }
        // SAFETY: the block is inside of the mapping; its status is an aligned word that the kernel changes as a whole.
        let status = unsafe {
            let block = self.start.add(index * self.size);
            AtomicU32::from_ptr(block.add(STATUS).cast().as_ptr())
        };
        if status.load(Ordering::Acquire) & OURS == 0 {
            return false;
        }
        // SAFETY: inside of the mapping, and while the block is ours the kernel does not write to it.
        let block = unsafe {
            std::slice::from_raw_parts(self.start.add(index * self.size).as_ptr(), self.size)
        };
        read(block);
        status.store(0, Ordering::Release);
        true
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // SAFETY: the mapping that was made, of which no reference is left.
        let _unmapped = unsafe { libc::munmap(self.start.as_ptr().cast(), self.size * self.count) };
    }
}
