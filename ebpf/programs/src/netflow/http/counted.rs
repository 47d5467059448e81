//! Exchanges that the kernel counts itself: a request, its answer, the next request. That is nearly all of HTTP/1.
//!
//! Whatever is not so simple is handed on, and everything after it on the same connection.

mod key;
mod tally;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{__sk_buff, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    helpers::generated::{bpf_sk_storage_get, bpf_skb_load_bytes},
    programs::SkBuffContext,
};
use weir_ebpf_common::{
    http::{
        HttpKey, how, protocol,
        words::{is_answer, is_request},
    },
    loss,
};

use self::{
    key::{Line, line},
    tally::{CODE, http_answered, http_more, status},
};
use super::{
    Stream, exchange,
    first::{Begins, begins, words},
    hand_on::hand_on,
    phase,
    segment::Segment,
};
use crate::maps::{HTTP_COUNTS, HTTP_HEADS, HTTP_PATIENCE, count};

/// Bytes kept of the beginning of a request.
pub(super) const HEAD: usize = 176;

/// The request that waits for its answer, kept in the socket.
#[repr(C)]
pub(crate) struct Head {
    pub(super) key: HttpKey,
    /// The bytes with which the request begins.
    pub(super) bytes: [u64; HEAD / 8],
    /// `CLOCK_MONOTONIC` when it began.
    pub(super) time_ns: u64,
    /// Position of the first of them.
    pub(super) start: u32,
    /// How many of `bytes` there are.
    pub(super) captured: u32,
    /// Bytes of `key.line` that may not be zero.
    line: u32,
    reserved: u32,
}

/// Whether a segment was dealt with.
pub(super) enum Taken {
    Yes,
    No,
    /// The answer is none.
    NotHttp,
}

/// Takes a segment, if exchanges are so simple that they can be counted here.
#[inline(always)]
pub(super) fn take(
    ctx: &SkBuffContext,
    stream: &mut Stream,
    segment: &Segment,
    is_sent: bool,
) -> Taken {
    if stream.exchange == exchange::HANDED_ON || HTTP_COUNTS.load() == 0 {
        stream.exchange = exchange::HANDED_ON;
        return Taken::No;
    }
    let is_client = (stream.client_sent == 1) == is_sent;
    match stream.exchange {
        exchange::NONE => request(ctx, stream, is_sent),
        exchange::ANSWERED if is_client => {
            more(ctx, stream);
            request(ctx, stream, is_sent)
        }
        exchange::ASKED if is_client => {
            if begins(words(ctx, segment)) == Begins::Request {
                let answer = stream.half(!is_sent).end();
                return hand_over(ctx, stream, (segment.position, answer));
            }
            // More of the request.
            Taken::Yes
        }
        exchange::ASKED => answer(ctx, stream, segment),
        _ => {
            if is_answer(words(ctx, segment)[0]) {
                count(loss::HTTP_PIPELINED);
            }
            if segment.pushes {
                more(ctx, stream);
            }
            Taken::Yes
        }
    }
}

/// What may be a request, where one is waited for.
#[inline(always)]
fn request(ctx: &SkBuffContext, stream: &mut Stream, is_sent: bool) -> Taken {
    let (next, taken) = match http_asked(ctx.skb.skb, stream, u32::from(is_sent)) {
        asked::KEPT => (exchange::ASKED, Taken::Yes),
        asked::NOT_SIMPLE => (exchange::HANDED_ON, Taken::No),
        // Something else, such as an answer whose request came before the agent.
        _ => return Taken::Yes,
    };
    stream.exchange = next;
    stream.client_sent = u8::from(is_sent);
    stream.begun = 0;
    taken
}

/// A request came before the one before it was answered: from here on the agent gets everything, and first what it
/// has missed: the request to the position `end`, when the server had spoken up to `answer`.
#[inline(always)]
fn hand_over(ctx: &SkBuffContext, stream: &mut Stream, (end, answer): (u32, u32)) -> Taken {
    stream.exchange = exchange::HANDED_ON;
    let _none = super::hand_on::http_hand_back(ctx.skb.skb, 0, end, answer);
    Taken::No
}

/// What comes from a server that was asked.
#[inline(always)]
fn answer(ctx: &SkBuffContext, stream: &mut Stream, segment: &Segment) -> Taken {
    let words = words(ctx, segment);
    if !is_answer(words[0]) {
        return Taken::NotHttp;
    }
    if stream.begun == 0 {
        stream.begun = 1;
        stream.answer = segment.position;
    }
    let Some(status) = status(words) else {
        return Taken::Yes;
    };
    let code = status & CODE;
    // An interim answer, unless the connection changes to another protocol.
    if code < 200 && code != 101 {
        return Taken::Yes;
    }
    if code == 101 {
        return switch(ctx, stream, segment);
    }
    let _none = http_answered(ctx.skb.skb, stream, status, 0);
    stream.exchange = exchange::ANSWERED;
    Taken::Yes
}

/// The connection changes to another protocol. The agent gets the exchange.
#[inline(always)]
fn switch(ctx: &SkBuffContext, stream: &mut Stream, segment: &Segment) -> Taken {
    let is_sent = stream.client_sent != 1;
    let end = stream.half(!is_sent).end();
    let _taken = hand_over(ctx, stream, (end, segment.position));
    hand_on(ctx, (is_sent, protocol::HTTP1), (0, segment.length));
    (stream.phase, stream.looks) = (phase::SWITCHED, 0);
    Taken::Yes
}

/// Counts what has come of an answer since it was counted last, if anything.
#[inline(always)]
fn more(ctx: &SkBuffContext, stream: &mut Stream) {
    let server = stream.half(stream.client_sent != 1);
    if server.next.wrapping_sub(stream.answer) != stream.counted {
        let _none = http_more(ctx.skb.skb, stream);
    }
}

/// The connection ends.
#[inline(always)]
pub(super) fn end(ctx: &SkBuffContext, stream: &mut Stream, segment: &Segment) {
    let server_ended = stream.half(stream.client_sent != 1).ended == 1;
    match stream.exchange {
        // A client that has said all it wants to say may still get an answer.
        exchange::ASKED if segment.resets || server_ended => {
            let client = stream.half(stream.client_sent == 1);
            // SAFETY: reads a clock.
            let waited =
                unsafe { aya_ebpf::helpers::bpf_ktime_get_ns() }.saturating_sub(client.time_ns);
            let why = if segment.resets {
                how::RESET
            } else if waited >= HTTP_PATIENCE.load() {
                how::TIMEOUT
            } else {
                how::CLOSED
            };
            let _none = http_answered(ctx.skb.skb, stream, 0, u32::from(why));
            stream.exchange = exchange::NONE;
        }
        exchange::ANSWERED => more(ctx, stream),
        _ => {}
    }
}

/// What is kept of a connection that speaks HTTP.
#[inline(always)]
pub(super) fn head_of<'a>(sock: *mut bpf_sock, flags: u32) -> Option<&'a mut Head> {
    // SAFETY: the helper checks the socket; what it returns lives as long as the socket, longer than this run.
    unsafe {
        bpf_sk_storage_get(
            HTTP_HEADS.as_ptr(),
            sock.cast(),
            core::ptr::null_mut(),
            u64::from(flags),
        )
        .cast::<Head>()
        .as_mut()
    }
}

/// What [`http_asked`] says of a packet.
mod asked {
    /// It is a request, and kept.
    pub(super) const KEPT: i32 = 1;
    /// It is a request that the kernel cannot count.
    pub(super) const NOT_SIMPLE: i32 = 2;
}

/// Keeps the request that the packet begins with; 0 if it is none. A function of its own for the verifier: see
/// `http_hand_on`.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn http_asked(skb: *mut __sk_buff, stream: *mut Stream, is_sent: u32) -> i32 {
    let ctx = SkBuffContext::new(skb);
    // SAFETY: the verifier sees to it that there is a stream behind it, or null.
    let (Some(stream), Some(segment), Some(sock)) = (
        unsafe { stream.as_mut() },
        Segment::of(&ctx),
        super::sock_of(&ctx),
    ) else {
        return 0;
    };
    let Some(head) = head_of(sock, BPF_SK_STORAGE_GET_F_CREATE) else {
        count(loss::HTTP_STREAM_FULL);
        return asked::NOT_SIMPLE;
    };
    let mut want = u64::from(segment.length);
    // SAFETY: copies a register to itself: see `hand_on`.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) want) };
    if want < 16 {
        return match begins(words(&ctx, &segment)) {
            Begins::Request => asked::NOT_SIMPLE,
            _ => 0,
        };
    }
    if want > HEAD as u64 {
        want = HEAD as u64;
    }
    // SAFETY: there is that much room.
    let failed = unsafe {
        bpf_skb_load_bytes(
            ctx.as_ptr(),
            segment.payload,
            (&raw mut head.bytes).cast(),
            want as u32,
        )
    };
    if failed != 0 || !is_request(head.bytes[0], head.bytes[1]) {
        return 0;
    }
    head.captured = want as u32;
    head.start = segment.position;
    head.time_ns = stream.half(is_sent == 1).time_ns;
    let Line::Of { length, truncated } = line(head, want as u32, segment.length) else {
        return asked::NOT_SIMPLE;
    };
    head.line = length;
    head.key.how = if truncated { how::TRUNCATED } else { 0 };
    key::ends(&ctx, &segment, stream.netns, is_sent == 1, head);
    asked::KEPT
}
