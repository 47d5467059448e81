//! What a connection carries before it has a socket of its own.
//!
//! The packet that completes a handshake may have payload: where a server has the kernel wait for it
//! (`TCP_DEFER_ACCEPT`, tcp(7)), or where the acknowledgement before it was lost. The kernel shows such a packet at the
//! socket that listens, and makes the connection's own only then. It is kept until that is heard of.

use core::arch::asm;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{__sk_buff, BPF_ANY, bpf_sock},
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_skb_load_bytes, bpf_tcp_sock},
    },
    programs::SkBuffContext,
};
use weir_ebpf_common::{
    http::{Piece, protocol},
    loss,
};

use super::{
    Stream, exchange,
    first::{Begins, begins, words},
    hand_on::{Slot, facts, own, place},
    phase,
    segment::Segment,
    sock_of,
};
use crate::{
    maps::{HTTP_EARLY, HTTP_EVENTS, HTTP_NO_PIECE, count},
    read::{Probe, namespace},
    udp::untyped,
};

/// Bytes kept; most heads are shorter.
pub(crate) const ROOM: usize = 2048;

/// `TCP_LISTEN` (`include/net/tcp_states.h`).
const LISTEN: u32 = 10;

/// Whether a socket has no connection but makes them.
#[inline(always)]
pub(super) fn listens(sock: *mut bpf_sock) -> bool {
    // SAFETY: a field of a full socket.
    unsafe { (*sock).state == LISTEN }
}

/// Keeps what the first packet of a connection carries, if it looks like something of interest.
#[inline(always)]
pub(super) fn keep(ctx: &SkBuffContext, segment: &Segment) {
    let protocol = match begins(words(ctx, segment)) {
        Begins::Request => protocol::HTTP1,
        Begins::Http2 => protocol::HTTP2,
        Begins::Hello => protocol::TLS_HELLO,
        Begins::Answer | Begins::Other => return,
    };
    if http_keep_early(ctx.skb.skb, u32::from(protocol)) != 0 {
        count(loss::HTTP_STREAM_FULL);
    }
}

/// A function of its own for the verifier: see `http_hand_on`. 0 if it was kept.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn http_keep_early(skb: *mut __sk_buff, protocol: u32) -> i32 {
    let ctx = SkBuffContext::new(skb);
    let (Some(segment), Some(sock), Some(empty)) =
        (Segment::of(&ctx), sock_of(&ctx), HTTP_NO_PIECE.get(0))
    else {
        return 1;
    };
    let peers = segment.peers(&ctx, false, namespace::<Probe>(untyped(sock)));
    if HTTP_EARLY.insert(peers, empty, u64::from(BPF_ANY)).is_err() {
        return 1;
    }
    let Some(kept) = HTTP_EARLY.get_ptr_mut(peers) else {
        return 1;
    };
    // SAFETY: map memory that nobody else looks for before the connection goes on.
    let kept = unsafe { &mut *kept };
    let mut want = u64::from(segment.length.wrapping_sub(1));
    // SAFETY: copies a register to itself: see `hand_on`.
    unsafe { asm!("{0} = {0}", inout(reg) want) };
    if want > ROOM as u64 - 1 {
        want = ROOM as u64 - 1;
    }
    // SAFETY: adds one to a register, out of the compiler's sight.
    unsafe { asm!("{0} += 1", inout(reg) want) };
    // SAFETY: there is that much room.
    let failed = unsafe {
        bpf_skb_load_bytes(
            ctx.as_ptr(),
            segment.payload,
            (&raw mut kept.bytes).cast(),
            want as u32,
        )
    };
    let piece = &mut kept.piece;
    place(piece, &peers);
    piece.captured = if failed == 0 { want as u32 } else { 0 };
    piece.length = segment.length;
    piece.position = segment.position;
    piece.family = segment.family;
    piece.protocol = protocol as u8;
    // SAFETY: reads a clock.
    piece.time_ns = unsafe { bpf_ktime_get_ns() };
    0
}

/// Hands on what came before this socket's first packet, if it was kept. The stream begins there then.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn http_take_early(skb: *mut __sk_buff, stream: *mut Stream, is_sent: u32) -> i32 {
    let ctx = SkBuffContext::new(skb);
    // SAFETY: the verifier sees to it that there is a stream behind it, or null.
    let (Some(stream), Some(segment), Some(sock)) =
        (unsafe { stream.as_mut() }, Segment::of(&ctx), sock_of(&ctx))
    else {
        return 0;
    };
    let peers = segment.peers(&ctx, is_sent == 1, stream.netns);
    let Some(kept) = HTTP_EARLY.get_ptr_mut(peers) else {
        return 0;
    };
    // SAFETY: map memory; only this connection has these ends.
    let kept = unsafe { &mut *kept };
    let end = kept.piece.position.wrapping_add(kept.piece.length);
    // SAFETY: the socket is a full one; the result is checked for null.
    let received = unsafe { bpf_tcp_sock(sock).as_ref() }.map_or(0, |tcp| tcp.rcv_nxt);
    // Else it is of an earlier connection between the same ends. The end of a stream counts as a byte.
    let is_ours = matches!(received.wrapping_sub(end), 0 | 1);
    if is_ours {
        let piece = &mut kept.piece;
        stream.received.time_ns = piece.time_ns;
        stream.received.next = end;
        stream.turn = 1;
        stream.flags = 0;
        stream.phase = match piece.protocol {
            protocol::HTTP1 => phase::HTTP1,
            protocol::HTTP2 => phase::HTTP2,
            _ => phase::HELLO,
        };
        stream.received.in_a_row = 1;
        stream.exchange = exchange::HANDED_ON;
        piece.socket = stream.socket;
        own(&mut piece.owner, facts(sock).map(|facts| &*facts));
        emit(kept);
    }
    let _gone = HTTP_EARLY.remove(peers);
    0
}

#[inline(always)]
fn emit(kept: &Slot<ROOM>) {
    let mut length = u64::from(kept.piece.captured);
    // SAFETY: copies a register to itself: see `hand_on`.
    unsafe { asm!("{0} = {0}", inout(reg) length) };
    if length > ROOM as u64 {
        return;
    }
    // SAFETY: a piece and no more bytes than there are.
    let bytes = unsafe {
        core::slice::from_raw_parts(
            (&raw const *kept).cast::<u8>(),
            size_of::<Piece>() + length as usize,
        )
    };
    let emitted = HTTP_EVENTS.output::<[u8]>(bytes, 0);
    count(if emitted.is_ok() {
        loss::HTTP_EMITTED
    } else {
        loss::HTTP_RING_FULL
    });
}
