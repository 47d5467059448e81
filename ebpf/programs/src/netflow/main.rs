//! The netflow object: TCP connections, from state changes and from passes over the live ones.
//!
//! Two sets of programs do the same; the agent loads the one that the kernel takes. The
//! preferred set (`tcp_state`, `tcp_live`, `tcp_owners`) reads the kernel's structs by direct
//! loads and keeps its facts in the sockets themselves. The other (`tcp_state_probe`,
//! `tcp_live_netns`, `tcp_owners_probe`) needs neither and keeps them in a map.

#![no_std]
#![no_main]
#![expect(
    unsafe_code,
    reason = "kernel memory is read through raw pointers that the verifier checks"
)]
#![expect(
    missing_docs,
    unreachable_pub,
    reason = "the program macros make public items without documentation"
)]

mod iterate;
mod maps;
mod read;
mod state;
mod store;
mod task;

use aya_ebpf::{
    cty::c_void,
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};

use crate::{
    iterate::{live, live_in_namespace, owners},
    read::{Direct, Probe},
    state::transition,
    store::{ByAddress, InSocket},
};

/// Kernel 5.11: a BTF tracepoint with direct loads and per-socket storage.
#[btf_tracepoint]
pub fn tcp_state(ctx: BtfTracePointContext) -> i32 {
    transition::<Direct, InSocket>(ctx.arg(0), ctx.arg(1), ctx.arg(2));
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

/// Every TCP socket of the namespace in which the pass was opened.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn tcp_live_netns(ctx: *mut c_void) -> i32 {
    live_in_namespace(ctx);
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

/// A program that could panic does not pass the verifier; the compiler still wants this.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel offers most helpers only to programs under the GPL, one of the two licences of this folder.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
