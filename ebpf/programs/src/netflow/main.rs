//! The netflow object: TCP connections, from state changes and from passes over the live ones.
//!
//! Two sets of programs do the same; the agent loads the one that the kernel takes. The
//! preferred set (`tcp_state`, `tcp_live`, `tcp_owners`) reads the kernel's structs by direct
//! loads and keeps its facts in the sockets themselves. The other (`tcp_state_probe`,
//! `tcp_live_netns`, `tcp_owners_probe`) needs neither and keeps them in a map.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    unsafe_code,
    reason = "kernel memory is read through raw pointers that the verifier checks"
)]
#![expect(
    missing_docs,
    unreachable_pub,
    reason = "the program macros make public items without documentation"
)]

#[macro_use]
mod argument;
mod calls;
mod http;
mod iterate;
mod maps;
mod read;
mod state;
mod store;
mod task;
mod udp;

use aya_ebpf::{
    cty::c_void,
    macros::{btf_tracepoint, cgroup_skb, cgroup_sock, fexit, kretprobe, raw_tracepoint},
    programs::{
        BtfTracePointContext, FExitContext, RawTracePointContext, RetProbeContext, SkBuffContext,
        SockContext,
    },
};

use crate::{
    iterate::{adopt_in_namespace, live, live_in_namespace, live_udp, owners},
    maps::ACCEPT_ARGUMENTS,
    read::{AF_INET, AF_INET6, Direct, Probe},
    state::{accepted, transition, transition_again},
    store::{ByAddress, InSocket},
    udp::{Way, key::is_tcp},
};

/// Kernel 5.11: a BTF tracepoint with direct loads and per-socket storage.
#[btf_tracepoint]
pub fn tcp_state(ctx: BtfTracePointContext) -> i32 {
    transition::<Direct, InSocket>(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    0
}

/// The same once more, where the kernel skips runs.
#[btf_tracepoint]
pub fn tcp_state_again(ctx: BtfTracePointContext) -> i32 {
    transition_again::<Direct, InSocket>(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    0
}

/// The same once more for facts kept by socket address.
#[raw_tracepoint]
pub fn tcp_state_probe_again(ctx: RawTracePointContext) -> i32 {
    transition_again::<Probe, ByAddress>(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    0
}

/// The same without BTF-typed pointers: every field is a checked read.
#[raw_tracepoint]
pub fn tcp_state_probe(ctx: RawTracePointContext) -> i32 {
    transition::<Probe, ByAddress>(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    0
}

/// Every socket with facts, whatever its network namespace.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
pub extern "C" fn tcp_live(ctx: *mut c_void) -> i32 {
    live(ctx);
    0
}

/// Every UDP socket that holds its first flow, whatever its network namespace.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
pub extern "C" fn udp_live(ctx: *mut c_void) -> i32 {
    live_udp(ctx);
    0
}

/// Every TCP socket of the namespace in which the pass was opened.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn tcp_live_netns(ctx: *mut c_void) -> i32 {
    live_in_namespace(ctx);
    0
}

/// The same, at the start of the agent, for sockets that are older.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn tcp_adopt_netns(ctx: *mut c_void) -> i32 {
    adopt_in_namespace(ctx);
    0
}

/// Every open file of every process: who holds which socket.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn tcp_owners(ctx: *mut c_void) -> i32 {
    owners::<InSocket>(ctx);
    0
}

/// The same for facts kept by socket address.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn tcp_owners_probe(ctx: *mut c_void) -> i32 {
    owners::<ByAddress>(ctx);
    0
}

/// A connection was handed to the process that serves it.
#[fexit]
pub fn tcp_accepted(ctx: FExitContext) -> i32 {
    accepted::<Direct, InSocket>(accept_result(&ctx));
    0
}

/// The same for facts kept by socket address.
#[fexit]
pub fn tcp_accepted_probe(ctx: FExitContext) -> i32 {
    accepted::<Probe, ByAddress>(accept_result(&ctx));
    0
}

/// The same by a return probe.
#[kretprobe]
pub fn tcp_accepted_return(ctx: RetProbeContext) -> u32 {
    accepted::<Probe, ByAddress>(ctx.ret());
    0
}

/// The result comes after the arguments, of which there were four before Linux 6.10.
#[inline(always)]
fn accept_result(ctx: &FExitContext) -> *mut c_void {
    match ACCEPT_ARGUMENTS.load() {
        2 => argument!(ctx, 2) as *mut c_void,
        4 => argument!(ctx, 4) as *mut c_void,
        _ => core::ptr::null_mut(),
    }
}

/// Every packet that a socket receives.
#[cgroup_skb]
pub fn udp_incoming(ctx: SkBuffContext) -> i32 {
    udp::packet(&ctx, Way::Incoming);
    PASS
}

/// Every packet that a socket sends, and by whom.
#[cgroup_skb]
pub fn udp_outgoing(ctx: SkBuffContext) -> i32 {
    udp::packet(&ctx, Way::Outgoing { by_current: true });
    PASS
}

/// The same for kernels that do not say at this place which process runs (before 6.10).
#[cgroup_skb]
pub fn udp_outgoing_plain(ctx: SkBuffContext) -> i32 {
    udp::packet(&ctx, Way::Outgoing { by_current: false });
    PASS
}

/// Every packet that a socket receives, for UDP and HTTP: one program costs less than two.
#[cgroup_skb]
pub fn udp_http_incoming(ctx: SkBuffContext) -> i32 {
    if is_tcp(&ctx) {
        http::packet(&ctx, false);
    } else {
        udp::packet(&ctx, Way::Incoming);
    }
    PASS
}

/// Every packet that a socket sends, for UDP and HTTP.
#[cgroup_skb]
pub fn udp_http_outgoing(ctx: SkBuffContext) -> i32 {
    if is_tcp(&ctx) {
        http::packet(&ctx, true);
    } else {
        udp::packet(&ctx, Way::Outgoing { by_current: true });
    }
    PASS
}

/// The same for kernels that do not say at this place which process runs (before 6.10).
#[cgroup_skb]
pub fn udp_http_outgoing_plain(ctx: SkBuffContext) -> i32 {
    if is_tcp(&ctx) {
        http::packet(&ctx, true);
    } else {
        udp::packet(&ctx, Way::Outgoing { by_current: false });
    }
    PASS
}

/// Every packet that a socket receives, for HTTP.
#[cgroup_skb]
pub fn http_incoming(ctx: SkBuffContext) -> i32 {
    http::packet(&ctx, false);
    PASS
}

/// Every packet that a socket sends, for HTTP.
#[cgroup_skb]
pub fn http_outgoing(ctx: SkBuffContext) -> i32 {
    http::packet(&ctx, true);
    PASS
}

/// Every internet socket that a process makes.
#[cgroup_sock(sock_create)]
pub fn udp_created(ctx: SockContext) -> i32 {
    udp::created(&ctx);
    PASS
}

/// Every internet socket that a process closes.
#[cgroup_sock(sock_release)]
pub fn udp_closed(ctx: SockContext) -> i32 {
    udp::closed(&ctx);
    PASS
}

/// A datagram for which the receiving socket had no room. Arguments: error, sock.
#[btf_tracepoint]
pub fn udp_refused(ctx: BtfTracePointContext) -> i32 {
    udp::refused(ctx.arg(1));
    0
}

/// The end of every call that sends on a socket, of every protocol. Arguments: sock, result, flags.
#[raw_tracepoint]
pub fn udp_send_length(ctx: RawTracePointContext) -> i32 {
    let way = Way::Outgoing { by_current: true };
    calls::length(ctx.arg(0), ctx.arg(1), 0, way);
    0
}

/// The same for calls that receive.
#[raw_tracepoint]
pub fn udp_receive_length(ctx: RawTracePointContext) -> i32 {
    calls::length(ctx.arg(0), ctx.arg(1), ctx.arg(2), Way::Incoming);
    0
}

/// The end of `udp_sendmsg`.
#[fexit]
pub fn udp_sent_v4(ctx: FExitContext) -> i32 {
    calls::sent(&ctx, AF_INET);
    0
}

/// The end of `udpv6_sendmsg`.
#[fexit]
pub fn udp_sent_v6(ctx: FExitContext) -> i32 {
    calls::sent(&ctx, AF_INET6);
    0
}

/// The end of `udp_recvmsg`.
#[fexit]
pub fn udp_received_v4(ctx: FExitContext) -> i32 {
    calls::received(&ctx);
    0
}

/// The end of `udpv6_recvmsg`.
#[fexit]
pub fn udp_received_v6(ctx: FExitContext) -> i32 {
    calls::received(&ctx);
    0
}

/// What programs at a control group answer to let the packet or the socket pass.
const PASS: i32 = 1;

/// A program that could panic does not pass the verifier; the compiler still wants this.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel offers most helpers only to programs under the GPL, one of the two licences of this folder.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
