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
    http::{HttpKey, how},
    loss,
};

use self::{
    key::{Line, line},
    tally::{http_answered, http_more},
};
use super::{Half, Stream, exchange, first::Begins, segment::Segment, stream_of};
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
    /// Bytes of `key.line` that are not zero.
    line: u32,
    /// Bytes of the answer that are counted.
    counted: u32,
    /// Position of the answer, interim ones (1xx) included.
    answer: u32,
    /// 1 once the answer has begun.
    begun: u32,
    padding: u32,
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
    first: Begins,
    is_sent: bool,
) -> Taken {
    if stream.exchange == exchange::HANDED_ON || HTTP_COUNTS.load() == 0 {
        stream.exchange = exchange::HANDED_ON;
        return Taken::No;
    }
    let is_client = if stream.exchange == exchange::NONE {
        if first != Begins::Request {
            // An answer whose request came before the agent.
            return Taken::Yes;
        }
        stream.client_sent = u8::from(is_sent);
        true
    } else {
        (stream.client_sent == 1) == is_sent
    };
    if is_client {
        from_client(ctx, stream, first)
    } else {
        from_server(ctx, stream, segment, first)
    }
}

#[inline(always)]
fn from_client(ctx: &SkBuffContext, stream: &mut Stream, first: Begins) -> Taken {
    if stream.exchange == exchange::ASKED {
        if first == Begins::Request {
            return hand_over(ctx, stream);
        }
        // More of the request.
        return Taken::Yes;
    }
    if first != Begins::Request {
        return Taken::Yes;
    }
    if stream.exchange == exchange::ANSWERED {
        let _none = http_more(ctx.skb.skb);
    }
    if http_asked(ctx.skb.skb) == 1 {
        stream.exchange = exchange::ASKED;
        Taken::Yes
    } else {
        stream.exchange = exchange::HANDED_ON;
        Taken::No
    }
}

/// A request came before the one before it was answered: from here on the agent gets everything, and first what it
/// has missed.
#[inline(always)]
fn hand_over(ctx: &SkBuffContext, stream: &mut Stream) -> Taken {
    stream.exchange = exchange::HANDED_ON;
    let _none = super::hand_on::http_hand_back(ctx.skb.skb, 0);
    Taken::No
}

#[inline(always)]
fn from_server(
    ctx: &SkBuffContext,
    stream: &mut Stream,
    segment: &Segment,
    first: Begins,
) -> Taken {
    if stream.exchange == exchange::ASKED {
        if first != Begins::Answer {
            return Taken::NotHttp;
        }
        return match http_answered(ctx.skb.skb, 0) {
            // An interim answer.
            0 => Taken::Yes,
            101 => Taken::NotHttp,
            _ => {
                stream.exchange = exchange::ANSWERED;
                Taken::Yes
            }
        };
    }
    if first == Begins::Answer {
        count(loss::HTTP_PIPELINED);
    }
    if segment.pushes {
        let _none = http_more(ctx.skb.skb);
    }
    Taken::Yes
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
            let _none = http_answered(ctx.skb.skb, u32::from(why));
            stream.exchange = exchange::NONE;
        }
        exchange::ANSWERED => {
            let _none = http_more(ctx.skb.skb);
        }
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

/// Keeps the request that the packet begins with. 0 if it is none that the kernel can count. A function of its own
/// for the verifier: see `http_hand_on`.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn http_asked(skb: *mut __sk_buff) -> i32 {
    let ctx = SkBuffContext::new(skb);
    let Some(segment) = Segment::of(&ctx) else {
        return 0;
    };
    let Some((sock, stream)) = stream_of(&ctx, 0) else {
        return 0;
    };
    let Some(head) = head_of(sock, BPF_SK_STORAGE_GET_F_CREATE) else {
        count(loss::HTTP_STREAM_FULL);
        return 0;
    };
    let mut want = u64::from(segment.length);
    // SAFETY: copies a register to itself: see `hand_on`.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) want) };
    if want < 16 {
        return 0;
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
    if failed != 0 {
        return 0;
    }
    head.captured = want as u32;
    head.start = segment.position;
    head.time_ns = stream.half(stream.client_sent == 1).time_ns;
    head.counted = 0;
    head.begun = 0;
    let Line::Of { length, truncated } = line(head, want as u32, segment.length) else {
        return 0;
    };
    head.line = length;
    head.key.how = if truncated { how::TRUNCATED } else { 0 };
    key::ends(&ctx, &segment, stream, head);
    1
}

impl Half {
    /// The position after the latest byte.
    pub(super) fn end(&self) -> u32 {
        self.next
    }

    /// When the latest byte was seen.
    pub(super) fn at(&self) -> u64 {
        self.time_ns
    }
}
