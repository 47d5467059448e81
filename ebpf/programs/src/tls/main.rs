//! The tls object: plaintext of chosen processes, by probes in their TLS libraries.
//!
//! A call is remembered when it begins, and when it returns, what it has read or written is a part of a stream. The
//! same rules as for packets decide what of it the agent gets.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    unsafe_code,
    reason = "memory is read through raw pointers that the verifier and the helpers check"
)]
#![expect(
    missing_docs,
    unreachable_pub,
    reason = "the program macros make public items without documentation"
)]
#![expect(
    unexpected_cfgs,
    reason = "`bpf_target_arch` is set by whoever builds for an architecture"
)]

mod begins;
mod call;
mod connection;
mod frames;
mod go;
mod hand_on;
mod link;
mod maps;
mod openssl;
mod process;
#[path = "../netflow/read.rs"]
#[expect(dead_code, reason = "shared with netflow, which needs more of it")]
mod read;
mod stream;
#[path = "../netflow/task.rs"]
#[expect(dead_code, reason = "shared with netflow, which needs more of it")]
mod task;

use aya_ebpf::{
    helpers::generated::bpf_get_socket_cookie,
    macros::{btf_tracepoint, fentry, kprobe, raw_tracepoint, uprobe, uretprobe},
    programs::{
        BtfTracePointContext, FEntryContext, ProbeContext, RawTracePointContext, RetProbeContext,
    },
};

use crate::{
    call::{chosen, kind},
    read::{Probe, Read as _, offset},
};

/// `SSL_read` and `SSL_write`. Arguments: connection, buffer, length.
#[uprobe]
pub fn tls_read(ctx: ProbeContext) -> u32 {
    openssl::enter(&ctx, kind::READ, false);
    0
}

#[uprobe]
pub fn tls_write(ctx: ProbeContext) -> u32 {
    openssl::enter(&ctx, kind::WRITE, false);
    0
}

/// `SSL_read_ex` and `SSL_write_ex`. Arguments: connection, buffer, length, where the number of bytes goes.
#[uprobe]
pub fn tls_read_ex(ctx: ProbeContext) -> u32 {
    openssl::enter(&ctx, kind::READ, true);
    0
}

#[uprobe]
pub fn tls_write_ex(ctx: ProbeContext) -> u32 {
    openssl::enter(&ctx, kind::WRITE, true);
    0
}

/// The return of any of the four.
#[uretprobe]
pub fn tls_moved(ctx: RetProbeContext) -> u32 {
    openssl::moved(&ctx);
    0
}

/// `SSL_do_handshake`. Argument: connection.
#[uprobe]
pub fn tls_handshake(ctx: ProbeContext) -> u32 {
    openssl::handshake(&ctx);
    0
}

#[uretprobe]
pub fn tls_shaken(_ctx: RetProbeContext) -> u32 {
    openssl::shaken();
    0
}

/// `SSL_set_fd`. Arguments: connection, descriptor.
#[uprobe]
pub fn tls_descriptor(ctx: ProbeContext) -> u32 {
    openssl::descriptor(&ctx);
    0
}

/// `SSL_free`. Argument: connection.
#[uprobe]
pub fn tls_free(ctx: ProbeContext) -> u32 {
    openssl::free(&ctx);
    0
}

/// `crypto/tls.(*Conn).Read` and `Write` of Go, arguments in registers.
#[uprobe]
pub fn tls_go_read(ctx: ProbeContext) -> u32 {
    go::enter(&ctx, kind::READ);
    0
}

#[uprobe]
pub fn tls_go_write(ctx: ProbeContext) -> u32 {
    go::enter(&ctx, kind::WRITE);
    0
}

/// Every instruction with which the two return.
#[uprobe]
pub fn tls_go_moved(ctx: ProbeContext) -> u32 {
    go::moved(&ctx);
    0
}

/// The same for arguments and results on the stack.
#[uprobe]
pub fn tls_go_stack_read(ctx: ProbeContext) -> u32 {
    go::moved_on_stack(&ctx, kind::READ);
    0
}

#[uprobe]
pub fn tls_go_stack_written(ctx: ProbeContext) -> u32 {
    go::moved_on_stack(&ctx, kind::WRITE);
    0
}

/// `clientHandshake` and `serverHandshake` of the same type.
#[uprobe]
pub fn tls_go_handshake(ctx: ProbeContext) -> u32 {
    go::handshake(&ctx, false);
    0
}

#[uprobe]
pub fn tls_go_stack_handshake(ctx: ProbeContext) -> u32 {
    go::handshake(&ctx, true);
    0
}

/// `Close` of the same type.
#[uprobe]
pub fn tls_go_close(ctx: ProbeContext) -> u32 {
    go::close(&ctx, false);
    0
}

#[uprobe]
pub fn tls_go_stack_close(ctx: ProbeContext) -> u32 {
    go::close(&ctx, true);
    0
}

/// The end of a call that sends on a socket, of every protocol. Arguments: sock, result, flags.
#[btf_tracepoint]
pub fn tls_sent(ctx: BtfTracePointContext) -> i32 {
    if chosen().is_some() {
        let result: i32 = ctx.arg(1);
        link::used(ctx.arg(0), u32::try_from(result).ok(), || {
            // SAFETY: the verifier knows the argument to be a socket.
            unsafe { bpf_get_socket_cookie(ctx.arg(0)) }
        });
    }
    0
}

/// The same for calls that receive.
#[btf_tracepoint]
pub fn tls_received(ctx: BtfTracePointContext) -> i32 {
    if chosen().is_some() {
        link::used(ctx.arg(0), None, || {
            // SAFETY: the verifier knows the argument to be a socket.
            unsafe { bpf_get_socket_cookie(ctx.arg(0)) }
        });
    }
    0
}

/// `tcp_sendmsg`, where there is no such tracepoint (before Linux 6.3). Arguments: sock, message, length.
#[fentry]
pub fn tls_sent_entry(ctx: FEntryContext) -> i32 {
    used_untyped(ctx.arg(0), Some(ctx.arg::<u64>(2) as u32));
    0
}

/// `tcp_recvmsg`.
#[fentry]
pub fn tls_received_entry(ctx: FEntryContext) -> i32 {
    used_untyped(ctx.arg(0), None);
    0
}

/// The same two by kernel probes.
#[kprobe]
pub fn tls_sent_probe(ctx: ProbeContext) -> u32 {
    if let (Some(sock), Some(length)) = (ctx.arg::<*const u8>(0), ctx.arg::<u64>(2)) {
        used_untyped(sock, Some(length as u32));
    }
    0
}

#[kprobe]
pub fn tls_received_probe(ctx: ProbeContext) -> u32 {
    if let Some(sock) = ctx.arg::<*const u8>(0) {
        used_untyped(sock, None);
    }
    0
}

#[inline(always)]
fn used_untyped(sock: *const u8, sent: Option<u32>) {
    if chosen().is_some() {
        link::used(sock, sent, || Probe::at(sock, offset!(cookie)));
    }
}

/// A process has made another, or a thread. Arguments: parent, child.
#[raw_tracepoint]
pub fn tls_forked(ctx: RawTracePointContext) -> i32 {
    process::forked(ctx.arg(0), ctx.arg(1));
    0
}

/// A process has begun to run another executable.
#[raw_tracepoint]
pub fn tls_executed(_ctx: RawTracePointContext) -> i32 {
    process::executed();
    0
}

/// A thread ends.
#[raw_tracepoint]
pub fn tls_exited(_ctx: RawTracePointContext) -> i32 {
    process::exited();
    0
}

/// A program that could panic does not pass the verifier; the compiler still wants this.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel offers most helpers only to programs under the GPL, one of the two licences of this folder.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
