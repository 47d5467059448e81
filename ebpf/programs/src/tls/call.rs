//! Calls of a TLS library that are under way.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use weir_ebpf_common::tls::{count, library};

use crate::{
    connection::Key,
    maps::{TLS_CALLS, TLS_PROCESSES, count},
};

/// Who makes a call, and makes no other meanwhile.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Caller {
    /// The thread; for Go the goroutine, by its address.
    pub(crate) thread: u64,
    /// Process id in the initial pid namespace.
    pub(crate) process: u32,
    /// One of [`library`].
    pub(crate) library: u32,
}

/// What a call does.
pub(crate) mod kind {
    /// Reads plaintext.
    pub(crate) const READ: u8 = 1;
    /// Writes plaintext.
    pub(crate) const WRITE: u8 = 2;
    /// Only speaks with the peer about keys.
    pub(crate) const HANDSHAKE: u8 = 3;
}

/// A call, as it was when it began.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Call {
    pub(crate) key: Key,
    /// Where the plaintext is.
    pub(crate) buffer: u64,
    /// Where the number of bytes is written, 0 if it is what the function returns.
    pub(crate) length_at: u64,
    pub(crate) time_ns: u64,
    /// Of what is being handed on: its position in the stream, and its length.
    pub(crate) position: u32,
    pub(crate) length: u32,
    /// One of [`kind`].
    pub(crate) kind: u8,
    /// 1 once the thread has used a socket.
    pub(crate) used_socket: u8,
    pub(crate) reserved: [u8; 6],
}

impl Call {
    #[inline(always)]
    pub(crate) fn is_sent(&self) -> bool {
        self.kind == kind::WRITE
    }
}

/// Plaintext that waits to be sent by the program itself.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Written {
    pub(crate) key: Key,
    /// Bytes of plaintext.
    pub(crate) bytes: u32,
    /// TLS records that they take.
    pub(crate) records: u32,
}

/// The running process, if it is a chosen one.
#[inline(always)]
pub(crate) fn chosen() -> Option<u32> {
    let process = (bpf_get_current_pid_tgid() >> 32) as u32;
    TLS_PROCESSES.get_ptr(process)?;
    Some(process)
}

/// The running thread, as a caller of OpenSSL.
#[inline(always)]
pub(crate) fn this_thread() -> Caller {
    let thread = bpf_get_current_pid_tgid();
    Caller {
        thread,
        process: (thread >> 32) as u32,
        library: library::OPENSSL,
    }
}

/// Remembers a call that begins.
#[inline(always)]
pub(crate) fn enter(
    caller: &Caller,
    kind: u8,
    object: u64,
    (buffer, length_at): (u64, u64),
    flags: u64,
) {
    let call = Call {
        key: Key {
            process: caller.process,
            library: caller.library,
            object,
        },
        buffer,
        length_at,
        // SAFETY: reads a clock.
        time_ns: unsafe { bpf_ktime_get_ns() },
        position: 0,
        length: 0,
        kind,
        used_socket: 0,
        reserved: [0; 6],
    };
    if TLS_CALLS.insert(caller, call, flags).is_err() && flags == 0 {
        count(count::TABLE_FULL);
    }
}

/// The call that the caller makes.
#[inline(always)]
pub(crate) fn under_way<'a>(caller: &Caller) -> Option<&'a mut Call> {
    // SAFETY: map memory, which stays valid while the program runs; nobody else is this caller.
    unsafe { TLS_CALLS.get_ptr_mut(caller)?.as_mut() }
}

/// The call has ended.
#[inline(always)]
pub(crate) fn leave(caller: &Caller) {
    let _was_not_there = TLS_CALLS.remove(caller);
}
