//! UDP, one packet at a time, at the control group of its socket.
//!
//! There the kernel shows each packet once per socket that sends or receives it, whatever the network
//! namespace, the number of interfaces on the way, loopback and bridges; outgoing ones before they are
//! fragmented, incoming ones after they are put together again.

#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "a key by value is one more copy for each packet"
)]

pub(crate) mod key;

use core::{arch::asm, mem::MaybeUninit};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_NOEXIST, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    cty::c_void,
    helpers::{
        bpf_probe_read_kernel,
        generated::{bpf_get_socket_cookie, bpf_sk_fullsock, bpf_sk_storage_get},
    },
    programs::{SkBuffContext, SockContext},
};
use weir_ebpf_common::{
    loss,
    netflow::{
        owner,
        udp::{UdpFlow, UdpKey, UdpOwner, UdpRecord, trait_of},
    },
};

use self::key::{UDP, copy, is_same, read_key, udp_header};
use crate::{
    maps::{UDP_CLAIMS, UDP_EMPTY, UDP_FLOWS, UDP_LAST, UDP_SOCKETS, add, count, emit},
    read::{Direct, Probe, Read as _, namespace, offset},
    task::{Current as _, current_cgroup, current_pid, name_of},
};

const UDP_HEADER: u32 = 8;
/// The port whose flows are announced.
const DNS: u16 = 53;
/// `SOCK_BINDPORT_LOCK` of the kernel's `include/net/sock.h`.
const BINDPORT_LOCK: u8 = 8;
/// `TCP_ESTABLISHED`: the kernel uses the name for connected UDP sockets too.
const CONNECTED: u32 = 1;

/// Which way a packet goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Incoming,
    /// With the sender's identity, on kernels that tell it here.
    Outgoing {
        by_current: bool,
    },
}

/// Counts one packet. Never touches it.
#[inline(always)]
pub(crate) fn packet(ctx: &SkBuffContext, way: Way) {
    let Some((header, family)) = udp_header(ctx) else {
        return;
    };
    // SAFETY: a field of the context: the socket at whose control group we are.
    let sock = unsafe { (*ctx.skb.skb).__bindgen_anon_2.sk };
    if sock.is_null() {
        return;
    }
    // SAFETY: checked for null.
    let sock = unsafe { bpf_sk_fullsock(sock) };
    if sock.is_null() {
        return;
    }
    // SAFETY: a field of the context.
    let segments = unsafe { (*ctx.skb.skb).gso_segs };
    let amount = Amount {
        bytes: u64::from(ctx.len().saturating_sub(header + UDP_HEADER)),
        // A packet that the kernel or the network card cuts later counts as what it becomes.
        datagrams: if segments > 1 { u64::from(segments) } else { 1 },
    };
    if way == Way::Incoming {
        // Not on the stack: what this CPU does next may be to find that the receiver has no room, and
        // `refused` then needs to know the flow.
        let Some(last) = UDP_LAST.get_ptr_mut(0) else {
            return;
        };
        // SAFETY: this CPU's own slot, and receiving is not interrupted by receiving.
        let last = unsafe { &mut *last };
        (last.bytes, last.datagrams) = (amount.bytes, amount.datagrams);
        if read_key(&mut last.key, ctx, header, family, way).is_some() {
            last.in_socket = u64::from(count_packet(ctx, sock, &mut last.key, way, amount));
        }
    } else {
        let mut key = MaybeUninit::<UdpKey>::uninit();
        if read_key(key.as_mut_ptr(), ctx, header, family, way).is_some() {
            // SAFETY: `read_key` has written every field.
            count_packet(ctx, sock, unsafe { key.assume_init_mut() }, way, amount);
        }
    }
}

/// What one packet carries.
#[derive(Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) bytes: u64,
    pub(crate) datagrams: u64,
}

/// Adds to the flow, and says whether it is the one that the socket holds.
///
/// Most sockets have one peer. Their flow is found without a look into a table, which costs as much as
/// everything else together.
#[inline(always)]
fn count_packet(
    ctx: &SkBuffContext,
    sock: *mut bpf_sock,
    key: &mut UdpKey,
    way: Way,
    amount: Amount,
) -> bool {
    let record = in_socket(sock.cast(), 0);
    if let Some(first) = record
        && first.flow.traits & (trait_of::DESCRIBED | trait_of::CLOSED) == trait_of::DESCRIBED
        && is_same(&first.key, key)
    {
        add_to(&raw mut first.flow, way, amount);
        return true;
    }
    // SAFETY: the helper takes any packet of this hook.
    key.socket = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    if let Some(first) = in_socket(sock.cast(), BPF_SK_STORAGE_GET_F_CREATE)
        && first.flow.traits == 0
        && UDP_CLAIMS
            .insert(key.socket, 1, u64::from(BPF_NOEXIST))
            .is_ok()
    {
        copy(&mut first.key, key);
        describe(&mut first.flow, None, sock, way);
        add_to(&raw mut first.flow, way, amount);
        if key.remote_port == DNS || key.local_port == DNS {
            announce(key, &first.flow);
        }
        return true;
    }
    match UDP_FLOWS
        .get_ptr_mut(&*key)
        .or_else(|| begin(sock, key, way))
    {
        Some(flow) => add_to(flow, way, amount),
        None => add(loss::UDP_FLOWS_FULL, amount.datagrams),
    }
    false
}

#[inline(always)]
pub(crate) fn add_to(flow: *mut UdpFlow, way: Way, amount: Amount) {
    // SAFETY: map memory. Every CPU adds atomically, and nothing else writes these fields.
    unsafe {
        let (bytes, datagrams) = if way == Way::Incoming {
            (&raw mut (*flow).bytes_in, &raw mut (*flow).datagrams_in)
        } else {
            (&raw mut (*flow).bytes_out, &raw mut (*flow).datagrams_out)
        };
        atomic_add(bytes, amount.bytes);
        atomic_add(datagrams, amount.datagrams);
    }
}

/// Adds to a number that other CPUs add to at the same time. Rust has no such operation for this target,
/// the machine has.
///
/// # Safety
/// `to` is what the verifier takes for writable memory of eight bytes.
#[inline(always)]
pub(crate) unsafe fn atomic_add(to: *mut u64, number: u64) {
    // SAFETY: by the contract of this function.
    unsafe {
        asm!("lock *(u64 *)({to} + 0) += {number}", to = in(reg) to, number = in(reg) number);
    }
}

/// First packet of a flow that goes into the table. `None` if the table is full.
#[inline(always)]
fn begin(sock: *mut bpf_sock, key: &UdpKey, way: Way) -> Option<*mut UdpFlow> {
    let empty = UDP_EMPTY.get(0)?;
    let is_new = UDP_FLOWS.insert(key, empty, u64::from(BPF_NOEXIST)).is_ok();
    let flow = UDP_FLOWS.get_ptr_mut(key)?;
    // Else another CPU was faster.
    if is_new {
        count(loss::UDP_FLOWS_ADDED);
        let owner = in_socket(sock.cast(), 0).map(|record| &mut record.flow.owner);
        // SAFETY: map memory; only the CPU that has added the flow writes what does not count.
        let new = unsafe { &mut *flow };
        describe(new, owner, sock, way);
        // A server's socket was announced with its first flow.
        if key.remote_port == DNS {
            announce(key, new);
        }
    }
    Some(flow)
}

/// Tells the agent at once whose the flow is: whoever sees only packets will ask.
#[inline(always)]
fn announce(key: &UdpKey, flow: &UdpFlow) {
    emit::<UdpRecord>(|record| {
        copy(&mut record.key, key);
        record.flow = *flow;
        record.flow.traits |= trait_of::ANNOUNCED;
    });
}

/// Notes what is known of the socket; its owner is in `from`, or in the flow already if that is the socket's
/// first. Until `DESCRIBED` is set, nobody else touches the flow.
#[inline(always)]
fn describe(flow: &mut UdpFlow, from: Option<&mut UdpOwner>, sock: *mut bpf_sock, way: Way) {
    let mut traits = trait_of::DESCRIBED;
    if way == Way::Incoming {
        traits |= trait_of::BEGAN_INCOMING;
    }
    // SAFETY: the caller has checked that the socket is there.
    if unsafe { (*sock).state } == CONNECTED {
        traits |= trait_of::CONNECTED;
    }
    let address = untyped(sock);
    if is_bound(address) {
        traits |= trait_of::BOUND;
    }
    flow.netns = namespace::<Probe>(address);
    match from {
        Some(owner) => {
            own_by_sender(owner, way);
            flow.owner = *owner;
        }
        None => own_by_sender(&mut flow.owner, way),
    }
    // SAFETY: a field of the flow. Volatile: it is written last.
    unsafe { core::ptr::write_volatile(&raw mut flow.traits, traits) };
}

/// Who sends is nearer to the truth than who made the socket.
#[inline(always)]
fn own_by_sender(owner: &mut UdpOwner, way: Way) {
    if way == (Way::Outgoing { by_current: true }) && owner.pid != current_pid() {
        own_by_current(owner, owner::CALLER);
    }
}

/// The address of a socket as a number. The verifier lets nobody add an offset to the typed pointer that this kind
/// of program gets, not even for a checked read.
#[inline(always)]
pub(crate) fn untyped(sock: *mut bpf_sock) -> *const u8 {
    let typed = sock;
    // SAFETY: reads the pointer from our own stack, as bytes.
    unsafe { bpf_probe_read_kernel((&raw const typed).cast::<u64>()) }.unwrap_or_default()
        as *const u8
}

/// Whether the program chose the local port. The kernel keeps that in a field of four bits.
#[inline(always)]
pub(crate) fn is_bound(sock: *const u8) -> bool {
    let bit = offset!(userlocks_bit);
    let byte: u8 = Probe::at(sock, bit / 8);
    (byte >> (bit % 8)) & BINDPORT_LOCK != 0
}

/// What a UDP socket holds.
#[inline(always)]
pub(crate) fn in_socket<'a>(sock: *mut c_void, flags: u32) -> Option<&'a mut UdpRecord> {
    // SAFETY: the helper checks the socket; what it returns lives as long as the socket, longer than this run.
    unsafe {
        bpf_sk_storage_get(
            UDP_SOCKETS.as_ptr(),
            sock,
            core::ptr::null_mut(),
            u64::from(flags),
        )
        .cast::<UdpRecord>()
        .as_mut()
    }
}

#[inline(always)]
pub(crate) fn own_by_current(owner: &mut UdpOwner, how: u8) {
    let task = Probe::task();
    // The kernel's own threads send for somebody else.
    if Probe::at::<u64>(task, offset!(task_mm)) == 0 {
        return;
    }
    owner.pid = current_pid();
    owner.cgroup = current_cgroup();
    owner.known_by = u32::from(how);
    name_of::<Probe>(&mut owner.name, task);
}

/// A process made a socket.
#[inline(always)]
pub(crate) fn created(ctx: &SockContext) {
    // SAFETY: a field of the context.
    if unsafe { (*ctx.sock).protocol } != u32::from(UDP) {
        return;
    }
    match in_socket(ctx.as_ptr(), BPF_SK_STORAGE_GET_F_CREATE) {
        Some(record) => own_by_current(&mut record.flow.owner, owner::CREATOR),
        None => count(loss::FACTS_FULL),
    }
}

/// A process closes a socket for good: what its first flow did goes to the agent.
#[inline(always)]
pub(crate) fn closed(ctx: &SockContext) {
    // SAFETY: a field of the context.
    if unsafe { (*ctx.sock).protocol } != u32::from(UDP) {
        return;
    }
    let Some(first) = in_socket(ctx.as_ptr(), 0) else {
        return;
    };
    let traits = first.flow.traits;
    // SAFETY: a field of the flow. Volatile: it comes before the totals are read.
    unsafe { core::ptr::write_volatile(&raw mut first.flow.traits, traits | trait_of::CLOSED) };
    if traits & trait_of::DESCRIBED != 0 {
        emit::<UdpRecord>(|record| *record = *first);
    }
}

/// The receiver had no room for the packet that this CPU has just counted: takes it back.
#[inline(always)]
pub(crate) fn refused(sock: *mut c_void) {
    let Some(last) = UDP_LAST.get_ptr(0) else {
        return;
    };
    // SAFETY: this CPU's own slot.
    let last = unsafe { &*last };
    let taken_back = Amount {
        bytes: last.bytes.wrapping_neg(),
        datagrams: last.datagrams.wrapping_neg(),
    };
    if last.in_socket == 1 {
        if let Some(first) = in_socket(sock, 0) {
            add_to(&raw mut first.flow, Way::Incoming, taken_back);
        }
    } else if Direct::at::<u64>(sock.cast_const().cast(), offset!(cookie)) == last.key.socket
        && let Some(flow) = UDP_FLOWS.get_ptr_mut(&last.key)
    {
        add_to(flow, Way::Incoming, taken_back);
    }
}
