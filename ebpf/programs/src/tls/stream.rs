//! What was read from a TLS connection or written to it, as a part of a stream.

use weir_ebpf_common::{
    http::{flag, protocol},
    tls::{count, library},
};

use crate::{
    begins::{Begins, begins},
    call::{Call, Caller},
    connection::{Connection, known_or_new, phase},
    frames::frames,
    hand_on::hand_on,
    link::{by_descriptor, expect_sending},
    maps::count,
};

/// Changes of direction after which a connection that has not begun like HTTP is left alone.
const MOST_LOOKS: u8 = 4;
/// Calls handed on between two changes of direction, besides those that begin like a message.
const MOST_IN_A_ROW: u8 = 32;
/// Bytes after which no more calls in a row are handed on: heads end before.
const ENOUGH_OF_A_REQUEST: u32 = 8192;
const ENOUGH_OF_AN_ANSWER: u32 = 1024;

/// The call has moved `bytes` of plaintext.
#[inline(always)]
pub(crate) fn moved(caller: &Caller, call: &mut Call, bytes: u32) {
    let Some(connection) = known_or_new(&call.key, flag::MIDWAY) else {
        return;
    };
    if connection.phase == phase::IGNORED {
        return;
    }
    let is_sent = call.is_sent();
    let turn = 1 + u8::from(is_sent);
    let half = connection.half(is_sent);
    (call.position, call.length) = (half.next, bytes);
    half.next = half.next.wrapping_add(bytes);
    half.time_ns = call.time_ns;
    let is_turn = connection.turn != turn;
    if is_turn {
        connection.turn = turn;
        let half = connection.half(is_sent);
        (half.in_a_row, half.handed) = (0, 0);
    }
    let first = begins(call.buffer, bytes);
    if connection.phase == phase::NEW {
        match first {
            Begins::Request | Begins::Answer => connection.phase = phase::HTTP1,
            Begins::Preface | Begins::Settings => connection.phase = phase::HTTP2,
            Begins::Other => return look(connection, is_turn),
        }
    }
    if connection.family == 0
        && !by_descriptor(connection)
        && is_sent
        && call.key.library == library::OPENSSL
    {
        expect_sending(&call.key, bytes);
    }
    if connection.phase == phase::HTTP2 {
        frames(caller, connection, call, first == Begins::Preface);
    } else {
        http1(caller, connection, call, first);
    }
}

/// The stream has not begun like HTTP.
#[inline(always)]
fn look(connection: &mut Connection, is_turn: bool) {
    if !is_turn {
        return;
    }
    connection.looks += 1;
    // A connection that was seen from its beginning begins like what it is.
    let most = if connection.flags & flag::MIDWAY == 0 {
        1
    } else {
        MOST_LOOKS
    };
    if connection.looks >= most {
        connection.phase = phase::IGNORED;
        count(count::NOT_HTTP);
    }
}

#[inline(always)]
fn http1(caller: &Caller, connection: &mut Connection, call: &Call, first: Begins) {
    let half = connection.half(call.is_sent());
    if first == Begins::Answer {
        half.handed = ENOUGH_OF_A_REQUEST - ENOUGH_OF_AN_ANSWER;
    }
    let goes_on = half.in_a_row < MOST_IN_A_ROW && half.handed < ENOUGH_OF_A_REQUEST;
    if !goes_on && !matches!(first, Begins::Request | Begins::Answer) {
        return;
    }
    half.in_a_row = half.in_a_row.saturating_add(1);
    half.handed = half.handed.saturating_add(call.length);
    hand_on(caller, protocol::HTTP1, (0, call.length));
}
