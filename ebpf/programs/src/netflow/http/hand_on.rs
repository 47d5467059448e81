//! Hands a piece of a stream to the agent.

use core::arch::asm;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{__sk_buff, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, bpf_sock},
    helpers::generated::bpf_skb_load_bytes,
    programs::SkBuffContext,
};
use weir_ebpf_common::{
    http::{MOST_CAPTURED, Piece, flag, protocol},
    loss,
    netflow::{Facts, NAME_LEN, udp::UdpOwner},
};

use super::{
    Stream,
    counted::{HEAD, head_of},
    segment::{Peers, Segment},
    stream_of,
};
use crate::{
    maps::{FACTS_IN_SOCKETS, HTTP_EVENTS, HTTP_WAKE_AT, count},
    store::{ByAddress, InSocket, Store as _},
    udp::untyped,
};

/// A piece with room for its bytes. Few sizes, known to the verifier.
#[repr(C)]
pub(crate) struct Slot<const ROOM: usize> {
    pub(super) piece: Piece,
    pub(super) bytes: [u8; ROOM],
}

const SMALL: usize = 112;
const MEDIUM: usize = 624;

/// Says where a piece is from.
#[inline(always)]
pub(super) fn place(piece: &mut Piece, peers: &Peers) {
    (piece.local, piece.remote) = (peers.local, peers.remote);
    (piece.local_port, piece.remote_port) = (peers.local_port, peers.remote_port);
    piece.netns = peers.netns;
}

/// Which way a piece goes, in the last argument of [`http_hand_on`]; the rest of it is the protocol.
const SENT: u32 = 1 << 8;

/// Hands on `length` bytes of the segment's payload from `start` on, as far as there is room.
#[inline(always)]
pub(super) fn hand_on(
    ctx: &SkBuffContext,
    (is_sent, protocol): (bool, u8),
    (start, length): (u32, u32),
) {
    let how = u32::from(protocol) | if is_sent { SENT } else { 0 };
    let _none = http_hand_on(ctx.skb.skb, start, length, how);
}

/// A function that the verifier looks at once, whoever calls it. It takes numbers only, so it finds everything else
/// again.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn http_hand_on(skb: *mut __sk_buff, start: u32, length: u32, how: u32) -> i32 {
    let ctx = SkBuffContext::new(skb);
    let Some(segment) = Segment::of(&ctx) else {
        return 0;
    };
    let Some((sock, stream)) = stream_of(&ctx, 0) else {
        return 0;
    };
    let from = Source {
        ctx: &ctx,
        sock,
        segment: &segment,
        is_sent: how & SENT != 0,
        protocol: how as u8,
        start,
        length,
    };
    if length <= SMALL as u32 {
        from.write::<SMALL>(stream);
    } else if length <= MEDIUM as u32 {
        from.write::<MEDIUM>(stream);
    } else {
        from.write::<MOST_CAPTURED>(stream);
    }
    stream.flags &= !flag::MIDWAY;
    0
}

/// What a piece is made of.
struct Source<'a> {
    ctx: &'a SkBuffContext,
    sock: *mut bpf_sock,
    segment: &'a Segment,
    is_sent: bool,
    protocol: u8,
    start: u32,
    length: u32,
}

impl Source<'_> {
    #[inline(always)]
    fn write<const ROOM: usize>(&self, stream: &Stream) {
        let Some(mut reserved) = HTTP_EVENTS.reserve::<Slot<ROOM>>(0) else {
            return count(loss::HTTP_RING_FULL);
        };
        let slot = reserved.as_mut_ptr();
        // SAFETY: the slot is reserved for a piece; every field is written below.
        let piece = unsafe { &mut (*slot).piece };
        self.fill(piece, stream);
        if self.length > 0 {
            // Between 1 and all the room there is. Kernels before 6.3 do not learn from a comparison with 0 that a
            // number is more, but from this.
            let mut want = u64::from(self.length.wrapping_sub(1));
            // SAFETY: copies a register to itself. The compiler knows more of the number than the verifier does, and
            // would leave out what the verifier needs to see compared.
            unsafe { asm!("{0} = {0}", inout(reg) want) };
            if want > ROOM as u64 - 1 {
                want = ROOM as u64 - 1;
            }
            // SAFETY: adds one to a register, out of the compiler's sight.
            unsafe { asm!("{0} += 1", inout(reg) want) };
            // SAFETY: the slot has that much room.
            let failed = unsafe {
                bpf_skb_load_bytes(
                    self.ctx.as_ptr(),
                    self.segment.payload.wrapping_add(self.start),
                    (&raw mut (*slot).bytes).cast(),
                    want as u32,
                )
            };
            piece.captured = if failed == 0 { want as u32 } else { 0 };
        }
        let wake = HTTP_EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) > HTTP_WAKE_AT.load();
        reserved.submit(u64::from(if wake {
            BPF_RB_FORCE_WAKEUP
        } else {
            BPF_RB_NO_WAKEUP
        }));
        count(loss::HTTP_EMITTED);
    }

    #[inline(always)]
    fn fill(&self, piece: &mut Piece, stream: &Stream) {
        let (half, other) = if self.is_sent {
            (&stream.sent, &stream.received)
        } else {
            (&stream.received, &stream.sent)
        };
        piece.socket = stream.socket;
        piece.time_ns = half.time_ns;
        piece.other_time_ns = other.time_ns;
        piece.other_position = other.next;
        piece.position = self.segment.position.wrapping_add(self.start);
        piece.length = self.length;
        piece.captured = 0;
        piece.family = self.segment.family;
        piece.flags = stream.flags | if self.is_sent { flag::SENT } else { 0 };
        piece.protocol = self.protocol;
        piece.reserved = 0;
        own(&mut piece.owner, facts(self.sock).map(|facts| &*facts));
        let peers = self.segment.peers(self.ctx, self.is_sent, stream.netns);
        place(piece, &peers);
    }
}

/// What is known of a socket's owner.
#[inline(always)]
pub(super) fn facts<'a>(sock: *mut bpf_sock) -> Option<&'a mut Facts> {
    if FACTS_IN_SOCKETS.load() == 1 {
        InSocket::get(sock.cast())
    } else {
        ByAddress::get(untyped(sock).cast_mut().cast())
    }
}

#[inline(always)]
pub(super) fn own(owner: &mut UdpOwner, facts: Option<&Facts>) {
    match facts {
        Some(facts) => {
            (owner.cgroup, owner.pid) = (facts.cgroup, facts.pid);
            owner.known_by = u32::from(facts.owner);
            // SAFETY: both names have these words. Volatile: not to be replaced by a call.
            (0..NAME_LEN / 8).for_each(|at| unsafe {
                (&raw mut owner.name)
                    .cast::<u64>()
                    .add(at)
                    .write_volatile((&raw const facts.name).cast::<u64>().add(at).read());
            });
        }
        None => {
            (owner.cgroup, owner.pid, owner.known_by) = (0, 0, 0);
            // SAFETY: the name has these words. Volatile: not to be replaced by a call.
            (0..NAME_LEN / 8).for_each(|at| unsafe {
                (&raw mut owner.name)
                    .cast::<u64>()
                    .add(at)
                    .write_volatile(0);
            });
        }
    }
}

/// Hands on the beginning of a request that the kernel has kept: as a sample, or as the piece that it was, with
/// everything from there to the position `end`. The server had spoken up to the position `answer` then.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn http_hand_back(
    skb: *mut __sk_buff,
    is_sample: u32,
    end: u32,
    answer: u32,
) -> i32 {
    let ctx = SkBuffContext::new(skb);
    let Some((sock, stream)) = stream_of(&ctx, 0) else {
        return 0;
    };
    let Some(head) = head_of(sock, 0) else {
        return 0;
    };
    let Some(mut reserved) = HTTP_EVENTS.reserve::<Slot<HEAD>>(0) else {
        count(loss::HTTP_RING_FULL);
        return 0;
    };
    let slot = reserved.as_mut_ptr();
    // SAFETY: the slot is reserved for a piece; every field is written below.
    let piece = unsafe { &mut (*slot).piece };
    let is_sent = stream.client_sent == 1;
    let other = stream.half(!is_sent);
    (piece.other_time_ns, piece.other_position) = (other.time_ns, answer);
    piece.socket = stream.socket;
    piece.netns = stream.netns;
    piece.time_ns = head.time_ns;
    piece.position = head.start;
    piece.captured = head.captured;
    piece.length = if is_sample == 1 {
        head.captured
    } else {
        end.wrapping_sub(head.start)
    };
    (piece.local, piece.remote) = (head.key.local, head.key.remote);
    // The port of the client is of no use to whoever gets it.
    (piece.local_port, piece.remote_port) = if is_sent {
        (0, head.key.port)
    } else {
        (head.key.port, 0)
    };
    piece.family = head.key.family;
    piece.protocol = protocol::HTTP1;
    piece.flags =
        if is_sent { flag::SENT } else { 0 } | if is_sample == 1 { flag::SAMPLE } else { 0 };
    piece.reserved = 0;
    own(&mut piece.owner, facts(sock).map(|facts| &*facts));
    // SAFETY: both have these words. Volatile: not to be replaced by a call.
    (0..HEAD / 8).for_each(|at| unsafe {
        (&raw mut (*slot).bytes)
            .cast::<u64>()
            .add(at)
            .write_volatile((&raw const head.bytes).cast::<u64>().add(at).read());
    });
    reserved.submit(0);
    count(loss::HTTP_EMITTED);
    0
}
