//! Adds exchanges to the table.

#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "a key by value is one more copy for each request"
)]

use aya_ebpf::{
    bindings::{__sk_buff, BPF_NOEXIST, bpf_sock},
    helpers::bpf_get_smp_processor_id,
    programs::SkBuffContext,
};
use weir_ebpf_common::{
    http::{BOUNDS_NS, HttpTally, MAXIMA, MAXIMUM_BITS, how},
    loss,
};

use super::{Head, head_of};
use crate::{
    http::{
        Stream,
        half::Half,
        hand_on::{facts, http_hand_back, own},
        sock_of,
    },
    maps::{HTTP_EMPTY, HTTP_PERIOD, HTTP_TABLE, count},
    udp::atomic_add,
};

/// The bits of a [`status`] that have the code.
pub(super) const CODE: u32 = 0xffff;
/// Set in a [`status`] of HTTP/1.0.
const OLD: u32 = 1 << 16;

/// The request was answered with a [`status`], or will not be: `why` is one of [`how`] then, and the status 0.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn http_answered(
    skb: *mut __sk_buff,
    stream: *mut Stream,
    status: u32,
    why: u32,
) -> i32 {
    let ctx = SkBuffContext::new(skb);
    // SAFETY: the verifier sees to it that there is a stream behind it, or null.
    let (Some(stream), Some(sock)) = (unsafe { stream.as_mut() }, sock_of(&ctx)) else {
        return 0;
    };
    let Some(head) = head_of(sock, 0) else {
        return 0;
    };
    head.key.how &= how::SERVER | how::TRUNCATED;
    head.key.how |= why as u16;
    if status & OLD != 0 {
        head.key.how |= how::VERSION_1_0;
    }
    head.key.status = status as u16;
    let (client, server) = halves(stream);
    let request = u64::from(client.end().wrapping_sub(head.start));
    let latency = server.at().saturating_sub(client.at());
    let answer = if stream.begun == 0 {
        0
    } else {
        u64::from(server.end().wrapping_sub(stream.answer))
    };
    stream.counted = answer as u32;
    let (read, written) = if stream.client_sent == 1 {
        (answer, request)
    } else {
        (request, answer)
    };
    let Some(tally) = entry(&ctx, sock, stream, head) else {
        count(loss::HTTP_TABLE_FULL);
        return 0;
    };
    // SAFETY: map memory; every CPU adds atomically.
    unsafe {
        atomic_add(&raw mut (*tally).count, 1);
        atomic_add(&raw mut (*tally).bytes_in, read);
        atomic_add(&raw mut (*tally).bytes_out, written);
    }
    if why == 0 {
        add_latency(tally, latency);
    }
    0
}

/// Counts what has come of an answer since it was counted last.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn http_more(skb: *mut __sk_buff, stream: *mut Stream) -> i32 {
    let ctx = SkBuffContext::new(skb);
    // SAFETY: the verifier sees to it that there is a stream behind it, or null.
    let (Some(stream), Some(sock)) = (unsafe { stream.as_mut() }, sock_of(&ctx)) else {
        return 0;
    };
    let Some(head) = head_of(sock, 0) else {
        return 0;
    };
    let (_, server) = halves(stream);
    let whole = server.end().wrapping_sub(stream.answer);
    let more = whole.wrapping_sub(stream.counted);
    if more == 0 || more.cast_signed() < 0 {
        return 0;
    }
    let Some(tally) = entry(&ctx, sock, stream, head) else {
        return 0;
    };
    stream.counted = whole;
    // SAFETY: map memory; every CPU adds atomically.
    unsafe {
        let to = if stream.client_sent == 1 {
            &raw mut (*tally).bytes_in
        } else {
            &raw mut (*tally).bytes_out
        };
        atomic_add(to, u64::from(more));
    }
    0
}

/// The client's direction and the server's.
#[inline(always)]
fn halves(stream: &Stream) -> (&Half, &Half) {
    if stream.client_sent == 1 {
        (&stream.sent, &stream.received)
    } else {
        (&stream.received, &stream.sent)
    }
}

/// The status code of an answer that begins so, and [`OLD`] if its version is 1.0.
#[inline(always)]
pub(super) fn status([first, second]: [u64; 2]) -> Option<u32> {
    // `HTTP/1.1 200`
    let [space, hundreds, tens, ones, ..] = second.to_le_bytes();
    let digit = |byte: u8| u32::from(byte.wrapping_sub(b'0'));
    let (hundreds, tens, ones) = (digit(hundreds), digit(tens), digit(ones));
    if space != b' ' || hundreds > 9 || tens > 9 || ones > 9 {
        return None;
    }
    let version = if (first >> 56) as u8 == b'0' { OLD } else { 0 };
    Some(hundreds * 100 + tens * 10 + ones | version)
}

/// The entry of the request's key, made if there is none yet.
#[inline(always)]
fn entry(
    ctx: &SkBuffContext,
    sock: *mut bpf_sock,
    stream: &mut Stream,
    head: &mut Head,
) -> Option<*mut HttpTally> {
    let period = HTTP_PERIOD.get(0).map_or(0, |period| u32::from(*period));
    // Who owns a connection hardly ever changes, and every look costs.
    if stream.pid == 0 || stream.pid_period != period {
        stream.pid = facts(sock).map_or(0, |facts| facts.pid);
        stream.pid_period = period;
    }
    head.key.pid = stream.pid;
    if let Some(found) = HTTP_TABLE.get_ptr_mut(&head.key) {
        return Some(found);
    }
    let empty = HTTP_EMPTY.get(0)?;
    let is_new = HTTP_TABLE
        .insert(&head.key, empty, u64::from(BPF_NOEXIST))
        .is_ok();
    let made = HTTP_TABLE.get_ptr_mut(&head.key)?;
    if is_new {
        // SAFETY: map memory; only the CPU that has made the entry writes its owner.
        own(
            unsafe { &mut (*made).owner },
            facts(sock).map(|facts| &*facts),
        );
        if head.key.how & how::SERVER == 0 {
            let _none = http_hand_back(ctx.skb.skb, 1, 0, 0);
        }
    }
    Some(made)
}

#[inline(always)]
fn add_latency(tally: *mut HttpTally, latency: u64) {
    let mut bucket = 0usize;
    for bound in BOUNDS_NS {
        bucket += usize::from(latency > bound);
    }
    // SAFETY: copies a register to itself: the verifier wants to see it compared.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) bucket) };
    if bucket > BOUNDS_NS.len() {
        return;
    }
    // SAFETY: map memory; every CPU adds atomically. `bucket` is at most the number of bounds.
    unsafe {
        atomic_add(&raw mut (*tally).latency_ns, latency);
        let buckets = (&raw mut (*tally).buckets).cast::<u64>();
        atomic_add(buckets.add(bucket), 1);
    }
    let period = HTTP_PERIOD.get(0).map_or(0, |period| u64::from(*period));
    // SAFETY: reads a number.
    let cpu = u64::from(unsafe { bpf_get_smp_processor_id() });
    let place = (period & 1 | (cpu & 1) << 1) as usize & (MAXIMA - 1);
    let longest = latency.min((1 << MAXIMUM_BITS) - 1) | period << MAXIMUM_BITS;
    // SAFETY: map memory; `place` is less than the number of places.
    unsafe {
        let maximum = (&raw mut (*tally).latency_max_ns).cast::<u64>().add(place);
        let before = maximum.read_volatile();
        if before >> MAXIMUM_BITS != longest >> MAXIMUM_BITS || before < longest {
            maximum.write_volatile(longest);
        }
    }
}
