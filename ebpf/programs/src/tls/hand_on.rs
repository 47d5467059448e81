//! Hands a piece of a stream to the agent.

use core::arch::asm;

use aya_ebpf::helpers::{
    bpf_ktime_get_ns,
    generated::{bpf_get_current_cgroup_id, bpf_probe_read_user},
};
use weir_ebpf_common::{
    http::{MOST_CAPTURED, Piece, flag},
    netflow::{NAME_LEN, owner, udp::UdpOwner},
    tls::{TlsPiece, count},
};

use crate::{
    call::{Call, Caller, under_way},
    connection::{Connection, known, phase},
    maps::{TLS_PIECES, count, wake},
    read::Probe,
    task::{Current as _, current_pid, name_of},
};

/// A piece with room for its bytes. Few sizes, known to the verifier.
#[repr(C)]
struct Slot<const ROOM: usize> {
    head: TlsPiece,
    bytes: [u8; ROOM],
}

const SMALL: usize = 104;
const MEDIUM: usize = 616;

/// Hands on `length` bytes of the call's plaintext from `start` on, as far as there is room.
#[inline(always)]
pub(crate) fn hand_on(caller: &Caller, protocol: u8, (start, length): (u32, u32)) {
    let how = u32::from(protocol) | caller.library << 8;
    let _none = tls_hand_on(caller.thread, caller.process, how, start, length);
}

/// A function that the verifier looks at once, whoever calls it. It takes numbers only, so it finds everything else
/// again.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn tls_hand_on(thread: u64, process: u32, how: u32, start: u32, length: u32) -> i32 {
    let caller = Caller {
        thread,
        process,
        library: how >> 8,
    };
    let Some(call) = under_way(&caller) else {
        return 0;
    };
    let Some(connection) = known(&call.key) else {
        return 0;
    };
    let from = Source {
        call,
        protocol: how as u8,
        start,
        length,
    };
    if length <= SMALL as u32 {
        from.write::<SMALL>(connection);
    } else if length <= MEDIUM as u32 {
        from.write::<MEDIUM>(connection);
    } else {
        from.write::<MOST_CAPTURED>(connection);
    }
    connection.flags &= !flag::MIDWAY;
    if connection.family == 0 {
        connection.is_awaited = 1;
    }
    0
}

/// What a piece is made of.
struct Source<'a> {
    call: &'a Call,
    protocol: u8,
    start: u32,
    length: u32,
}

impl Source<'_> {
    #[inline(always)]
    fn write<const ROOM: usize>(&self, connection: &Connection) {
        let Some(mut reserved) = TLS_PIECES.reserve::<Slot<ROOM>>(0) else {
            return count(count::RING_FULL);
        };
        let slot = reserved.as_mut_ptr();
        let is_sent = self.call.is_sent();
        // SAFETY: the slot is reserved for a piece; every field is written below.
        let head = unsafe { &mut (*slot).head };
        fill(head, connection, is_sent);
        let piece = &mut head.piece;
        piece.time_ns = self.call.time_ns;
        piece.position = self.call.position.wrapping_add(self.start);
        piece.length = self.length;
        piece.protocol = self.protocol;
        let mut want = u64::from(self.length);
        // SAFETY: copies a register to itself. The compiler knows more of the number than the verifier does, and would
        // leave out what the verifier needs to see compared.
        unsafe { asm!("{0} = {0}", inout(reg) want) };
        if want > ROOM as u64 {
            want = ROOM as u64;
        }
        let from = self.call.buffer.wrapping_add(u64::from(self.start));
        // SAFETY: the slot has that much room.
        let failed = unsafe {
            bpf_probe_read_user(
                (&raw mut (*slot).bytes).cast(),
                want as u32,
                from as *const _,
            )
        };
        if failed == 0 {
            piece.captured = want as u32;
        } else {
            count(count::UNREADABLE);
        }
        reserved.submit(wake());
        count(count::EMITTED);
    }
}

/// Tells the socket of a connection of which pieces were handed on before it was known.
#[inline(always)]
pub(crate) fn tell_socket(connection: &mut Connection) {
    if connection.is_awaited == 1 {
        connection.is_awaited = 0;
        tell(connection, 0, 0);
    }
}

/// Tells that nothing more comes of a connection.
#[inline(always)]
pub(crate) fn tell_end(connection: &Connection) {
    let protocol = match connection.phase {
        phase::HTTP1 => weir_ebpf_common::http::protocol::HTTP1,
        phase::HTTP2 => weir_ebpf_common::http::protocol::HTTP2,
        _ => return,
    };
    tell(connection, flag::GONE, protocol);
}

/// A piece without payload.
#[inline(always)]
fn tell(connection: &Connection, flags: u8, protocol: u8) {
    let Some(mut reserved) = TLS_PIECES.reserve::<TlsPiece>(0) else {
        return count(count::RING_FULL);
    };
    // SAFETY: the slot is reserved for a piece; every field is written below.
    let head = unsafe { &mut *reserved.as_mut_ptr() };
    fill(head, connection, true);
    head.piece.flags |= flags;
    head.piece.protocol = protocol;
    head.piece.position = connection.sent.next;
    head.piece.length = 0;
    // SAFETY: reads a clock.
    head.piece.time_ns = unsafe { bpf_ktime_get_ns() };
    reserved.submit(wake());
    count(count::EMITTED);
}

/// Everything that does not depend on the call.
#[inline(always)]
fn fill(head: &mut TlsPiece, connection: &Connection, is_sent: bool) {
    head.connection = connection.id;
    let (piece, other) = (&mut head.piece, connection.other(is_sent));
    piece.socket = connection.cookie;
    piece.other_time_ns = other.time_ns;
    piece.other_position = other.next;
    piece.captured = 0;
    (piece.local, piece.remote) = (connection.local, connection.remote);
    piece.netns = connection.netns;
    piece.local_port = connection.local_port;
    piece.remote_port = connection.remote_port;
    piece.family = connection.family;
    piece.flags = flag::TLS | connection.flags | if is_sent { flag::SENT } else { 0 };
    piece.reserved = 0;
    own(&mut piece.owner);
}

/// The running process.
#[inline(always)]
fn own(to: &mut UdpOwner) {
    to.pid = current_pid();
    // SAFETY: a helper without arguments.
    to.cgroup = unsafe { bpf_get_current_cgroup_id() };
    to.known_by = u32::from(owner::CALLER);
    // SAFETY: the name has these words. Volatile: not to be replaced by a call.
    (0..NAME_LEN / 8).for_each(|at| unsafe {
        (&raw mut to.name).cast::<u64>().add(at).write_volatile(0);
    });
    name_of::<Probe>(&mut to.name, Probe::task());
}

/// The piece alone is what the contract of the collector knows.
const _: () = assert!(size_of::<Slot<SMALL>>() == size_of::<u64>() + size_of::<Piece>() + SMALL);
