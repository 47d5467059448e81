//! OpenSSL 1.1 and 3, and libraries with the same functions.

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_probe_read_user},
    programs::{ProbeContext, RetProbeContext},
};
use weir_ebpf_common::tls::{count, library};

use crate::{
    call::{self, chosen, kind, leave, this_thread, under_way},
    connection::{self, Key, known, known_or_new},
    hand_on::tell_end,
    link::by_descriptor,
    maps::{TLS_CONNECTIONS, count},
    stream,
};

/// Value for `flags` of an insertion: not over a call that is under way.
const NOT_OVER: u64 = 1;
/// The longest call: lengths of OpenSSL are `int`.
const MOST_BYTES: u64 = i32::MAX as u64;

/// A call that reads or writes begins.
#[inline(always)]
pub(crate) fn enter(ctx: &ProbeContext, kind: u8, tells_length: bool) {
    if chosen().is_none() {
        return;
    }
    let (Some(object), Some(buffer)) = (ctx.arg::<u64>(0), ctx.arg::<u64>(1)) else {
        return;
    };
    let length_at = if tells_length {
        ctx.arg::<u64>(3).unwrap_or(0)
    } else {
        0
    };
    call::enter(&this_thread(), kind, object, (buffer, length_at), 0);
}

/// It returns.
#[inline(always)]
pub(crate) fn moved(ctx: &RetProbeContext) {
    let caller = this_thread();
    let Some(call) = under_way(&caller) else {
        return;
    };
    if call.kind == kind::HANDSHAKE {
        return;
    }
    let result: i32 = ctx.ret();
    if result > 0 {
        let bytes = if call.length_at == 0 {
            result as u64
        } else {
            // SAFETY: the helper checks the address.
            let read = unsafe { bpf_probe_read_user(call.length_at as *const u64) };
            if read.is_err() {
                count(count::UNREADABLE);
            }
            read.unwrap_or(0)
        };
        if call.kind == kind::READ {
            // SAFETY: reads a clock.
            call.time_ns = unsafe { bpf_ktime_get_ns() };
        }
        if bytes > 0 && bytes <= MOST_BYTES {
            stream::moved(&caller, call, bytes as u32);
        }
    }
    leave(&caller);
}

fn key(object: u64, process: u32) -> Key {
    Key {
        process,
        library: library::OPENSSL,
        object,
    }
}

/// Keys are agreed on: here a connection begins. Some libraries do it within a call that reads or writes.
#[inline(always)]
pub(crate) fn handshake(ctx: &ProbeContext) {
    let (Some(process), Some(object)) = (chosen(), ctx.arg::<u64>(0)) else {
        return;
    };
    if known_or_new(&key(object, process), 0).is_some() {
        call::enter(&this_thread(), kind::HANDSHAKE, object, (0, 0), NOT_OVER);
    }
}

/// Keys are agreed on, or more must come from the peer.
#[inline(always)]
pub(crate) fn shaken() {
    let caller = this_thread();
    if under_way(&caller).is_some_and(|call| call.kind == kind::HANDSHAKE) {
        leave(&caller);
    }
}

/// A connection is given its descriptor.
#[inline(always)]
pub(crate) fn descriptor(ctx: &ProbeContext) {
    let (Some(process), Some(object), Some(descriptor)) =
        (chosen(), ctx.arg::<u64>(0), ctx.arg::<i32>(1))
    else {
        return;
    };
    if descriptor >= 0
        && let Some(connection) = connection::begin(&key(object, process))
    {
        connection.descriptor = descriptor as u32 + 1;
    }
}

/// A connection is no more.
#[inline(always)]
pub(crate) fn free(ctx: &ProbeContext) {
    let (Some(process), Some(object)) = (chosen(), ctx.arg::<u64>(0)) else {
        return;
    };
    let key = key(object, process);
    if let Some(connection) = known(&key) {
        if connection.family == 0 {
            by_descriptor(connection);
        }
        tell_end(connection);
        let _was_not_there = TLS_CONNECTIONS.remove(key);
    }
}
