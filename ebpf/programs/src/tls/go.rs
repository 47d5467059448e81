//! Go's `crypto/tls`.
//!
//! Its stacks move, so return probes of the kernel would break it: the agent places a program at every instruction
//! that returns instead. Calls are told apart by goroutine. Up to Go 1.16 (1.17 on aarch64) arguments and results are
//! on the stack, later in registers (Go's `src/cmd/compile/abi-internal.md`).

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_ktime_get_ns, bpf_probe_read_user},
    programs::ProbeContext,
};
use weir_ebpf_common::tls::library;

use crate::{
    call::{self, Caller, chosen, kind, leave, under_way},
    connection::{self, Key, known},
    hand_on::tell_end,
    link::by_descriptor,
    maps::TLS_CONNECTIONS,
    stream,
};

/// The longest read or write that is believed.
const MOST_BYTES: u64 = 1 << 30;
/// Of `net.netFD`, which begins with `poll.FD` (the same from Go 1.12 to 1.26): descriptor, address family, kind.
const DESCRIPTOR: u64 = 16;
const FAMILY: u64 = 56;
const SOCKET_KIND: u64 = 64;
/// `SOCK_STREAM`.
const STREAM: u64 = 1;
/// A `net.Conn` may be in another one, as that one's first field.
const MOST_WRAPPED: u32 = 3;

/// The registers of Go's own calling convention.
struct Registers {
    /// The first three words of arguments, and of results.
    words: [u64; 3],
    goroutine: u64,
    stack: u64,
}

impl Registers {
    #[cfg(bpf_target_arch = "x86_64")]
    #[inline(always)]
    fn of(ctx: &ProbeContext) -> Self {
        let from: *const aya_ebpf::bindings::pt_regs = ctx.as_ptr().cast_const().cast();
        // SAFETY: the context of such a program is the registers.
        unsafe {
            Self {
                words: [(*from).rax, (*from).rbx, (*from).rcx],
                goroutine: (*from).r14,
                stack: (*from).rsp,
            }
        }
    }

    #[cfg(bpf_target_arch = "aarch64")]
    #[inline(always)]
    fn of(ctx: &ProbeContext) -> Self {
        let from: *const aya_ebpf::bindings::user_pt_regs = ctx.as_ptr().cast_const().cast();
        // SAFETY: the context of such a program is the registers.
        unsafe {
            Self {
                words: [(*from).regs[0], (*from).regs[1], (*from).regs[2]],
                goroutine: (*from).regs[28],
                stack: (*from).sp,
            }
        }
    }

    #[inline(always)]
    fn caller(&self, process: u32) -> Caller {
        Caller {
            thread: self.goroutine,
            process,
            library: library::GO,
        }
    }
}

fn key(object: u64, process: u32) -> Key {
    Key {
        process,
        library: library::GO,
        object,
    }
}

/// A word of the process's memory; 0 if it cannot be read.
#[inline(always)]
fn word(at: u64) -> u64 {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(at as *const u64) }.unwrap_or(0)
}

/// Word `index` of the arguments and results on the stack, where the function is about to return or has just begun.
#[inline(always)]
fn on_stack(registers: &Registers, index: u64) -> u64 {
    word(registers.stack.wrapping_add(8 * (1 + index)))
}

/// `Read` or `Write` begins. Arguments: connection, buffer (address, length, room).
#[inline(always)]
pub(crate) fn enter(ctx: &ProbeContext, kind: u8) {
    let Some(process) = chosen() else { return };
    let registers = Registers::of(ctx);
    let [object, buffer, _] = registers.words;
    call::enter(&registers.caller(process), kind, object, (buffer, 0), 0);
}

/// It returns. Results: number of bytes, error.
#[inline(always)]
pub(crate) fn moved(ctx: &ProbeContext) {
    let Some(process) = chosen() else { return };
    let registers = Registers::of(ctx);
    finish(&registers.caller(process), registers.words[0]);
}

/// The same where everything is on the stack: connection, buffer (address, length, room), number of bytes, error.
#[inline(always)]
pub(crate) fn moved_on_stack(ctx: &ProbeContext, kind: u8) {
    let Some(process) = chosen() else { return };
    let registers = Registers::of(ctx);
    // The place of the arguments distinguishes the goroutines of this moment.
    let caller = Caller {
        thread: registers.stack,
        process,
        library: library::GO,
    };
    let (object, buffer) = (on_stack(&registers, 0), on_stack(&registers, 1));
    call::enter(&caller, kind, object, (buffer, 0), 0);
    finish(&caller, on_stack(&registers, 4));
}

#[inline(always)]
fn finish(caller: &Caller, bytes: u64) {
    if let Some(call) = under_way(caller)
        && bytes > 0
        && bytes <= MOST_BYTES
    {
        if call.kind == kind::READ {
            // SAFETY: reads a clock.
            call.time_ns = unsafe { bpf_ktime_get_ns() };
        }
        find_descriptor(&call.key);
        stream::moved(caller, call, bytes as u32);
    }
    leave(caller);
}

/// Finds the descriptor of a connection: `tls.Conn` begins with the `net.Conn` below it, an interface (type, data).
/// A `net.TCPConn` begins with a pointer to its `net.netFD`, which is known by what it says of the socket.
#[inline(always)]
fn find_descriptor(key: &Key) {
    let Some(connection) = connection::known_or_new(key, weir_ebpf_common::http::flag::MIDWAY)
    else {
        return;
    };
    if connection.family != 0 || connection.descriptor != 0 {
        return;
    }
    let mut below = word(key.object.wrapping_add(8));
    for _ in 0..MOST_WRAPPED {
        let file = word(below);
        let descriptor = word(file.wrapping_add(DESCRIPTOR));
        let family = word(file.wrapping_add(FAMILY));
        if matches!(family, 2 | 10)
            && word(file.wrapping_add(SOCKET_KIND)) == STREAM
            && descriptor < 1 << 30
        {
            connection.descriptor = descriptor as u32 + 1;
            return;
        }
        below = word(below.wrapping_add(8));
    }
}

/// A handshake begins, and with it a connection.
#[inline(always)]
pub(crate) fn handshake(ctx: &ProbeContext, is_on_stack: bool) {
    let Some(process) = chosen() else { return };
    let _no_room = connection::begin(&key(receiver(ctx, is_on_stack), process));
}

/// The program closes a connection.
#[inline(always)]
pub(crate) fn close(ctx: &ProbeContext, is_on_stack: bool) {
    let Some(process) = chosen() else { return };
    let key = key(receiver(ctx, is_on_stack), process);
    if let Some(connection) = known(&key) {
        if connection.family == 0 {
            by_descriptor(connection);
        }
        tell_end(connection);
        let _was_not_there = TLS_CONNECTIONS.remove(key);
    }
}

#[inline(always)]
fn receiver(ctx: &ProbeContext, is_on_stack: bool) -> u64 {
    let registers = Registers::of(ctx);
    if is_on_stack {
        on_stack(&registers, 0)
    } else {
        registers.words[0]
    }
}
