//! Passes over all live connections and over all open files, read by the agent like a file.

use aya_ebpf::{
    bindings::{BPF_SK_STORAGE_GET_F_CREATE, seq_file},
    cty::c_void,
    helpers::generated::{bpf_seq_write, bpf_skc_to_tcp_sock, bpf_sock_from_file},
};
use weir_ebpf_common::{
    loss,
    netflow::{
        Facts, TcpRecord, direction, kind, owner, state,
        udp::{UdpRecord, trait_of},
    },
};

use crate::{
    maps::{SCRATCH, count},
    read::{Direct, Probe, Read, fill, offset},
    store::{ByAddress, Store},
    task::{cgroup_of, name_of},
    udp::in_socket,
};

/// `IPPROTO_UDP`.
const UDP: u16 = 17;

/// Member `index` of a pass's context, which is an array of pointers that may be null.
#[inline(always)]
fn member(ctx: *mut c_void, index: usize) -> *mut c_void {
    // SAFETY: the verifier checks each load against the context of the pass.
    unsafe { core::ptr::read_volatile(ctx.cast::<*mut c_void>().add(index)) }
}

/// Writes one record for the agent to read.
#[inline(always)]
fn write(ctx: *mut c_void, tcp: *const u8, facts: &Facts, kind: u8, at: u32) {
    write_with(ctx, tcp, facts, kind, at, 0);
}

/// The same with the socket's inode.
#[inline(always)]
fn write_with(ctx: *mut c_void, tcp: *const u8, facts: &Facts, kind: u8, at: u32, inode: u32) {
    let Some(record) = SCRATCH.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: this CPU's own slot, and only one pass is read at a time.
    let filled = unsafe { &mut *record };
    fill::<Direct>(filled, tcp, facts, kind, at);
    filled.inode = inode;
    write_bytes(
        ctx,
        record.cast_const().cast(),
        size_of::<TcpRecord>() as u32,
    );
}

/// Writes bytes that live over the call.
#[inline(always)]
fn write_bytes(ctx: *mut c_void, bytes: *const c_void, length: u32) {
    // SAFETY: the first member of the context points to the pass's metadata, whose first member is the file.
    let file = unsafe { core::ptr::read_volatile(member(ctx, 0).cast::<*mut seq_file>()) };
    // SAFETY: memory of that length. A full buffer is retried by the kernel with the next read.
    unsafe { bpf_seq_write(file, bytes, length) };
}

/// The `tcp_sock` of a socket and its state; `None` if the socket is none, or only a TIME_WAIT or a request.
#[inline(always)]
fn tcp_and_state(sock: *mut c_void) -> Option<(*const u8, u32)> {
    // SAFETY: the helper checks the socket's type, also that it is not null.
    let tcp = unsafe { bpf_skc_to_tcp_sock(sock) }
        .cast::<u8>()
        .cast_const();
    if tcp.is_null() {
        return None;
    }
    Some((tcp, u32::from(Direct::at::<u8>(tcp, offset!(state)))))
}

/// Whether a socket in this state carries a connection that was established and has not ended.
#[inline(always)]
fn is_live(at: u32) -> bool {
    matches!(
        at,
        state::ESTABLISHED
            | state::FIN_WAIT1
            | state::FIN_WAIT2
            | state::CLOSE_WAIT
            | state::LAST_ACK
            | state::CLOSING
    )
}

/// One socket that has facts. Context: meta, map, sock, facts.
#[inline(always)]
pub(crate) fn live(ctx: *mut c_void) {
    let (sock, facts) = (member(ctx, 2), member(ctx, 3).cast::<Facts>());
    if sock.is_null() || facts.is_null() {
        return;
    }
    let Some((tcp, at)) = tcp_and_state(sock) else {
        return;
    };
    // SAFETY: checked for null; the kernel holds the facts while the program runs.
    let facts = unsafe { &*facts };
    if is_live(at) && facts.closed == 0 {
        write(ctx, tcp, facts, kind::LIVE, at);
    }
}

/// One UDP socket that holds its first flow. Context: meta, map, sock, record.
#[inline(always)]
pub(crate) fn live_udp(ctx: *mut c_void) {
    let record = member(ctx, 3).cast::<UdpRecord>();
    if member(ctx, 2).is_null() || record.is_null() {
        return;
    }
    // SAFETY: checked for null; the kernel holds the record while the program runs.
    let traits = unsafe { (*record).flow.traits };
    if traits & (trait_of::DESCRIBED | trait_of::CLOSED) == trait_of::DESCRIBED {
        write_bytes(
            ctx,
            record.cast_const().cast(),
            size_of::<UdpRecord>() as u32,
        );
    }
}

/// One TCP socket of a namespace. Context: meta, sock, uid.
#[inline(always)]
pub(crate) fn live_in_namespace(ctx: *mut c_void) {
    let sock = member(ctx, 1);
    if sock.is_null() {
        return;
    }
    let Some((tcp, at)) = tcp_and_state(sock) else {
        return;
    };
    if let Some(facts) = ByAddress::get(sock)
        && is_live(at)
        && facts.closed == 0
    {
        write_with(ctx, tcp, facts, kind::LIVE, at, inode_of(tcp));
    }
}

/// Number of the inode of a socket that a process holds, else 0.
#[inline(always)]
fn inode_of(tcp: *const u8) -> u32 {
    let socket: u64 = Direct::at(tcp, offset!(sock_socket));
    if socket == 0 {
        return 0;
    }
    let file = (socket as *const u8).wrapping_add(offset!(socket_inode) as usize);
    Probe::at(file, offset!(inode_number))
}

/// One TCP socket of a namespace, at the start of the agent, where no pass over open files tells of older ones.
/// Its owner is left to the agent, which finds the inode among the descriptors of processes.
/// Context: meta, sock, uid.
#[inline(always)]
pub(crate) fn adopt_in_namespace(ctx: *mut c_void) {
    let sock = member(ctx, 1);
    if sock.is_null() {
        return;
    }
    let Some((tcp, at)) = tcp_and_state(sock) else {
        return;
    };
    if !is_live(at) && at != state::LISTEN || ByAddress::get(sock).is_some() {
        return;
    }
    let Some(facts) = ByAddress::get_or_create(sock) else {
        return count(loss::FACTS_FULL);
    };
    let kind = if at == state::LISTEN {
        kind::LISTENING
    } else {
        facts.adopted = 1;
        kind::ADOPTED
    };
    write_with(ctx, tcp, facts, kind, at, inode_of(tcp));
}

/// Gives a UDP socket that has no owner the process that holds it.
#[inline(always)]
fn udp_owner(sock: *mut c_void, task: *const u8) {
    let protocol: u16 = Direct::at(sock.cast_const().cast(), offset!(protocol));
    if protocol != UDP {
        return;
    }
    let Some(record) = in_socket(sock, BPF_SK_STORAGE_GET_F_CREATE) else {
        return count(loss::FACTS_FULL);
    };
    let facts = &mut record.flow.owner;
    if facts.known_by == u32::from(owner::UNKNOWN) {
        facts.pid = Direct::at(task, offset!(task_tgid));
        facts.cgroup = cgroup_of::<Direct>(task);
        facts.known_by = u32::from(owner::HOLDER);
        name_of::<Direct>(&mut facts.name, task);
    }
}

/// One open file of one process. Context: meta, task, descriptor, file.
///
/// Adopts connections and listeners that are older than the agent, and puts the process that holds an
/// accepted socket in the place of the one that listened.
#[inline(always)]
pub(crate) fn owners<S: Store>(ctx: *mut c_void) {
    let (task, file) = (member(ctx, 1).cast::<u8>().cast_const(), member(ctx, 3));
    if task.is_null() || file.is_null() {
        return;
    }
    // SAFETY: the helper returns null for a file that is no socket.
    let socket = unsafe { bpf_sock_from_file(file.cast()) }
        .cast::<u8>()
        .cast_const();
    if socket.is_null() {
        return;
    }
    let sock = Direct::at::<u64>(socket, offset!(socket_sock)) as *mut c_void;
    if sock.is_null() {
        return;
    }
    let Some((tcp, at)) = tcp_and_state(sock) else {
        return udp_owner(sock, task);
    };
    if !is_live(at) && at != state::LISTEN && at != state::SYN_SENT {
        return;
    }
    let new = S::get(sock).is_none();
    let Some(facts) = S::get_or_create(sock) else {
        return count(loss::FACTS_FULL);
    };
    if facts.owner < owner::CLOSER {
        facts.pid = Direct::at(task, offset!(task_tgid));
        facts.owner = if at == state::LISTEN {
            owner::CALLER
        } else {
            owner::HOLDER
        };
        facts.cgroup = cgroup_of::<Direct>(task);
        name_of::<Direct>(&mut facts.name, task);
    }
    if new && at == state::SYN_SENT {
        facts.direction = direction::CONNECT;
    } else if new && is_live(at) {
        facts.adopted = 1;
        write(ctx, tcp, facts, kind::ADOPTED, at);
    }
    if at == state::LISTEN {
        if new {
            S::publish_listener(sock, facts);
        }
        write(ctx, tcp, facts, kind::LISTENING, at);
    }
}
