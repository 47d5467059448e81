//! HTTP, from the packets of TCP sockets at their control group.
//!
//! A program looks at the first bytes that a connection carries. If they are not HTTP, or the beginning of TLS, the
//! connection is left alone from then on. Of HTTP the agent gets what it cannot do without: the segments with which
//! the stream changes its direction, and those that begin like a message. What lies between is known by position.

mod counted;
mod early;
mod first;
mod frames;
mod half;
mod hand_on;
mod segment;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_get_socket_cookie, bpf_sk_fullsock, bpf_sk_storage_get, bpf_tcp_sock},
    },
    programs::SkBuffContext,
};
use weir_ebpf_common::{
    http::{flag, protocol},
    loss,
};

use self::{
    counted::Taken,
    first::{Begins, CODE, begins, status, words},
    frames::frames,
    half::Half,
    hand_on::hand_on,
    segment::Segment,
};
use crate::{
    maps::{HTTP_SOCKETS, count},
    read::{Probe, namespace},
    udp::untyped,
};

/// Changes of direction after which a connection that has not begun like HTTP is left alone.
const MOST_LOOKS: u8 = 4;
/// Segments handed on between two changes of direction, besides those that begin like a message.
const MOST_IN_A_ROW: u8 = 8;
/// Bytes after which no more segments in a row are handed on: heads end before.
const ENOUGH_OF_A_REQUEST: u32 = 8192;
const ENOUGH_OF_AN_ANSWER: u32 = 1024;
/// A ClientHello is in the first record, which may take two segments.
const MOST_OF_A_HELLO: u8 = 2;

/// What a stream is taken for.
pub(crate) mod phase {
    /// HTTP/1.
    pub(crate) const HTTP1: u8 = 1;
    /// HTTP/2.
    pub(crate) const HTTP2: u8 = 2;
    /// A ClientHello that is not complete.
    pub(crate) const HELLO: u8 = 3;
    /// Nothing of interest.
    pub(crate) const IGNORED: u8 = 4;
    /// What HTTP/1 has changed to, before the client has spoken it.
    pub(crate) const SWITCHED: u8 = 5;
}

/// How far an exchange is.
pub(crate) mod exchange {
    /// The next message is a request.
    pub(crate) const NONE: u8 = 0;
    /// A request waits for its answer.
    pub(crate) const ASKED: u8 = 1;
    /// The answer has begun.
    pub(crate) const ANSWERED: u8 = 2;
    /// The kernel does not count: the agent gets pieces.
    pub(crate) const HANDED_ON: u8 = 3;
}

/// What is known of a connection, kept in its socket. Begins as zeros.
#[repr(C)]
pub(crate) struct Stream {
    pub(crate) socket: u64,
    sent: Half,
    received: Half,
    pub(crate) netns: u32,
    phase: u8,
    /// Which direction the latest payload had: 0 before the first, 1 received, 2 sent.
    turn: u8,
    looks: u8,
    /// Set of [`flag`] bits for the next piece.
    flags: u8,
    /// How far the exchange is that the kernel counts itself.
    exchange: u8,
    /// 1 if the client is the local end.
    client_sent: u8,
    /// 1 once the answer has begun, interim ones (1xx) included.
    begun: u8,
    reserved: u8,
    /// Position of the answer.
    answer: u32,
    /// Bytes of it that are counted.
    counted: u32,
    /// The owner's process id, and the period in which it was looked up.
    pid: u32,
    pid_period: u32,
}

pub(crate) use self::{counted::Head, segment::Peers};

/// See `early`.
pub(crate) type Early = hand_on::Slot<{ early::ROOM }>;

/// Looks at one packet. Never touches it.
#[inline(always)]
pub(crate) fn packet(ctx: &SkBuffContext, is_sent: bool) {
    let Some(segment) = Segment::of(ctx) else {
        return;
    };
    let create = if segment.length > 0 {
        BPF_SK_STORAGE_GET_F_CREATE
    } else {
        0
    };
    let Some(sock) = sock_of(ctx) else {
        return;
    };
    if !is_sent && early::listens(sock) {
        if segment.length > 0 {
            early::keep(ctx, &segment);
        }
        return;
    }
    let Some(stream) = stream_in(sock, create) else {
        return;
    };
    if stream.phase == phase::IGNORED {
        return;
    }
    if stream.socket == 0 {
        begin(stream, ctx, sock, is_sent);
    }
    if segment.length > 0 && payload(ctx, stream, &segment, is_sent) == Looked::Enough {
        stream.phase = phase::IGNORED;
        return;
    }
    if segment.ends() {
        end(ctx, stream, &segment, is_sent);
    }
}

/// The socket of a packet.
#[inline(always)]
fn sock_of(ctx: &SkBuffContext) -> Option<*mut bpf_sock> {
    // SAFETY: a field of the context: the socket at whose control group we are.
    let sock = unsafe { (*ctx.skb.skb).__bindgen_anon_2.sk };
    if sock.is_null() {
        return None;
    }
    // SAFETY: checked for null.
    let sock = unsafe { bpf_sk_fullsock(sock) };
    (!sock.is_null()).then_some(sock)
}

/// The socket of a packet and what is known of its stream.
#[inline(always)]
fn stream_of<'a>(ctx: &SkBuffContext, flags: u32) -> Option<(*mut bpf_sock, &'a mut Stream)> {
    let sock = sock_of(ctx)?;
    Some((sock, stream_in(sock, flags)?))
}

/// What is known of a socket's stream.
#[inline(always)]
fn stream_in<'a>(sock: *mut bpf_sock, flags: u32) -> Option<&'a mut Stream> {
    // SAFETY: the helper checks the socket; what it returns lives as long as the socket, longer than this run.
    let stream = unsafe {
        bpf_sk_storage_get(
            HTTP_SOCKETS.as_ptr(),
            sock.cast(),
            core::ptr::null_mut(),
            u64::from(flags),
        )
        .cast::<Stream>()
        .as_mut()
    };
    if stream.is_none() && flags != 0 {
        count(loss::HTTP_STREAM_FULL);
    }
    stream
}

#[inline(always)]
fn begin(stream: &mut Stream, ctx: &SkBuffContext, sock: *mut bpf_sock, is_sent: bool) {
    // SAFETY: the helper takes any packet of this hook.
    stream.socket = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    stream.netns = namespace::<Probe>(untyped(sock));
    // SAFETY: the socket is a full one; the result is checked for null.
    let Some(tcp) = (unsafe { bpf_tcp_sock(sock).as_ref() }) else {
        return;
    };
    // Where the next segment begins that is not out of order.
    stream.received.next = tcp.rcv_nxt;
    // A SYN counts as an acknowledged byte.
    if tcp.bytes_received > 0 || tcp.bytes_acked > 1 {
        stream.flags |= flag::MIDWAY;
        let _none = early::http_take_early(ctx.skb.skb, stream, u32::from(is_sent));
    }
}

/// Whether more of the connection is to be looked at.
#[derive(PartialEq, Eq)]
enum Looked {
    On,
    Enough,
}

#[inline(always)]
fn payload(ctx: &SkBuffContext, stream: &mut Stream, segment: &Segment, is_sent: bool) -> Looked {
    // SAFETY: reads a clock.
    let now = unsafe { bpf_ktime_get_ns() };
    let turn = 1 + u8::from(is_sent);
    let half = if is_sent {
        &mut stream.sent
    } else {
        &mut stream.received
    };
    if !half.takes(segment) {
        return Looked::On;
    }
    half.time_ns = now;
    let is_turn = stream.turn != turn;
    if is_turn {
        stream.turn = turn;
        half.in_a_row = 0;
        half.handed = 0;
    }
    match stream.phase {
        phase::HTTP1 => http1(ctx, stream, segment, is_sent),
        phase::HTTP2 => {
            frames(ctx, stream, (is_sent, is_turn));
            Looked::On
        }
        phase::HELLO => hello(ctx, stream, segment, is_sent),
        phase::SWITCHED => switched(ctx, stream, segment, is_sent),
        _ => new(ctx, stream, segment, is_sent, is_turn),
    }
}

#[inline(always)]
fn new(
    ctx: &SkBuffContext,
    stream: &mut Stream,
    segment: &Segment,
    is_sent: bool,
    is_turn: bool,
) -> Looked {
    match begins(words(ctx, segment)) {
        Begins::Request | Begins::Answer => {
            stream.phase = phase::HTTP1;
            http1(ctx, stream, segment, is_sent)
        }
        Begins::Http2 => {
            stream.phase = phase::HTTP2;
            frames(ctx, stream, (is_sent, false));
            Looked::On
        }
        Begins::Hello => {
            stream.phase = phase::HELLO;
            hello(ctx, stream, segment, is_sent)
        }
        // Not its first segment, if that has been overtaken.
        Begins::Other if !is_turn || stream.half(is_sent).has_hole() => Looked::On,
        Begins::Other => {
            stream.looks += 1;
            // A connection that was seen from its beginning begins like what it is.
            let most = if stream.flags & flag::MIDWAY == 0 {
                1
            } else {
                MOST_LOOKS
            };
            if stream.looks >= most {
                return Looked::Enough;
            }
            Looked::On
        }
    }
}

#[inline(always)]
fn http1(ctx: &SkBuffContext, stream: &mut Stream, segment: &Segment, is_sent: bool) -> Looked {
    match counted::take(ctx, stream, segment, is_sent) {
        Taken::Yes => return Looked::On,
        Taken::NotHttp => return Looked::Enough,
        Taken::No => {}
    }
    let words = words(ctx, segment);
    let first = begins(words);
    let half = stream.half(is_sent);
    let enough = if first == Begins::Answer {
        half.handed = ENOUGH_OF_A_REQUEST - ENOUGH_OF_AN_ANSWER;
        ENOUGH_OF_A_REQUEST
    } else {
        ENOUGH_OF_A_REQUEST
    };
    let goes_on = half.in_a_row < MOST_IN_A_ROW && half.handed < enough;
    if !goes_on && !matches!(first, Begins::Request | Begins::Answer) {
        return Looked::On;
    }
    half.in_a_row = half.in_a_row.saturating_add(1);
    half.handed = half.handed.saturating_add(segment.length);
    hand_on(ctx, (is_sent, protocol::HTTP1), (0, segment.length));
    if first == Begins::Answer && status(words).is_some_and(|status| status & CODE == 101) {
        (stream.phase, stream.looks) = (phase::SWITCHED, 0);
        stream.client_sent = u8::from(!is_sent);
    }
    Looked::On
}

/// The client's first bytes say whether it is HTTP/2. What a server says before is taken for that: it may be the answer
/// to the request that asked for the change.
#[inline(always)]
fn switched(ctx: &SkBuffContext, stream: &mut Stream, segment: &Segment, is_sent: bool) -> Looked {
    if (stream.client_sent == 1) == is_sent {
        if begins(words(ctx, segment)) != Begins::Http2 {
            return Looked::Enough;
        }
        stream.phase = phase::HTTP2;
    } else {
        stream.looks += 1;
        if stream.looks > MOST_IN_A_ROW {
            return Looked::Enough;
        }
    }
    frames(ctx, stream, (is_sent, false));
    Looked::On
}

#[inline(always)]
fn hello(ctx: &SkBuffContext, stream: &mut Stream, segment: &Segment, is_sent: bool) -> Looked {
    let half = stream.half(is_sent);
    half.in_a_row += 1;
    let is_last = half.in_a_row >= MOST_OF_A_HELLO;
    // The other end speaks only after the whole of it.
    if stream.sent.time_ns != 0 && stream.received.time_ns != 0 {
        return Looked::Enough;
    }
    hand_on(ctx, (is_sent, protocol::TLS_HELLO), (0, segment.length));
    if is_last { Looked::Enough } else { Looked::On }
}

/// A FIN or a reset. The agent hears of a reset, and when both directions have ended.
#[inline(always)]
fn end(ctx: &SkBuffContext, stream: &mut Stream, segment: &Segment, is_sent: bool) {
    let half = stream.half(is_sent);
    // Ends are sent again when their acknowledgement is lost.
    if half.ended == 1 {
        return;
    }
    half.ended = 1;
    let both = stream.sent.ended == 1 && stream.received.ended == 1;
    if stream.exchange != exchange::HANDED_ON && stream.phase == phase::HTTP1 {
        counted::end(ctx, stream, segment);
        if segment.resets || both {
            stream.phase = phase::IGNORED;
        }
        return;
    }
    let says = match (stream.phase, segment.resets) {
        (phase::HTTP1, _) => protocol::HTTP1,
        (phase::HTTP2, _) => protocol::HTTP2,
        _ => return,
    };
    if segment.resets {
        stream.flags |= flag::RESET;
    } else if both {
        stream.flags |= flag::FIN;
    } else {
        return;
    }
    // It stands after its payload.
    hand_on(ctx, (is_sent, says), (segment.length, 0));
    stream.phase = phase::IGNORED;
}

impl Stream {
    #[inline(always)]
    fn half(&mut self, is_sent: bool) -> &mut Half {
        if is_sent {
            &mut self.sent
        } else {
            &mut self.received
        }
    }
}
