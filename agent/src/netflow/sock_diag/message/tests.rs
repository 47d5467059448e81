//! Bytes that the kernel might send, and bytes that it would not.

use super::*;
use crate::netlink::message::{push_attribute, request as netlink};

/// A message as the kernel builds it, field after field.
fn body(state: u8, receive_queue: u32, send_queue: u32, info: &[(usize, u64)]) -> Vec<u8> {
    let mut body = vec![2, state, 0, 0];
    body.extend(80_u16.to_be_bytes());
    body.extend(40_000_u16.to_be_bytes());
    body.extend([10, 0, 0, 1]);
    body.extend([0; 12]);
    body.extend([10, 0, 0, 2]);
    body.extend([0; 12]);
    body.extend(3_u32.to_ne_bytes());
    body.extend(77_u64.to_ne_bytes());
    for word in [0, receive_queue, send_queue, 1000, 4242] {
        body.extend(word.to_ne_bytes());
    }
    let mut counters = [0_u8; 280];
    for (offset, value) in info {
        counters[*offset..offset + 8].copy_from_slice(&value.to_ne_bytes());
    }
    push_attribute(&mut body, PROTOCOL, &[6]);
    push_attribute(&mut body, INFO, &counters);
    body
}

const ACKED: usize = 120;
const RECEIVED: usize = 128;
const SENT: usize = 200;
const SENT_AGAIN: usize = 208;

fn socket(state: u32, queues: (u32, u32), info: &[(usize, u64)]) -> InetSocket {
    InetSocket::parse(&body(state as u8, queues.0, queues.1, info)).unwrap()
}

#[test]
fn every_field_is_read_from_its_place() {
    let counters = [
        (ACKED, 1001),
        (RECEIVED, 500),
        (SENT, 1300),
        (SENT_AGAIN, 300),
    ];
    let socket = socket(state::ESTABLISHED, (5, 6), &counters);
    assert_eq!(
        (socket.ends.local_port, socket.ends.remote_port),
        (80, 40_000)
    );
    assert_eq!(socket.ends.local[0].to_ne_bytes(), [10, 0, 0, 1]);
    assert_eq!(socket.ends.remote[0].to_ne_bytes(), [10, 0, 0, 2]);
    assert_eq!((socket.cookie, socket.uid, socket.inode), (77, 1000, 4242));
    assert_eq!((socket.receive_queue, socket.send_queue), (5, 6));
    let info = socket.info.unwrap();
    assert_eq!(info.payload_sent(), 1000);
    assert_eq!((info.bytes_acked, info.bytes_received), (1001, 500));
    assert!(socket.is_of(6) && !socket.is_of(17));
}

#[test]
fn a_fin_is_not_payload_in_the_states_that_follow_one() {
    for (at, fin) in [
        (state::ESTABLISHED, false),
        (state::FIN_WAIT1, false),
        (state::FIN_WAIT2, false),
        (state::CLOSE_WAIT, true),
        (state::LAST_ACK, true),
        (state::CLOSING, true),
    ] {
        let socket = socket(at, (0, 0), &[(RECEIVED, 11)]);
        assert_eq!(socket.has_fin(), fin, "{at}");
        assert_eq!(socket.payload_received(fin), 11 - u64::from(fin));
    }
}

#[test]
fn who_opened_the_connection_follows_from_the_syn_it_sent() {
    let (accepted, connected) = (Some(direction::ACCEPT), Some(direction::CONNECT));
    // Everything acknowledged: the sum is exact, whatever listens.
    for listening in [false, true] {
        let of = |acked| {
            socket(state::ESTABLISHED, (0, 0), &[(SENT, 10), (ACKED, acked)]).direction(listening)
        };
        assert_eq!((of(10), of(11)), (accepted, connected));
    }
    // Four bytes of ten are in flight.
    let flying = |acked| {
        let mut socket = socket(state::ESTABLISHED, (0, 4), &[(SENT, 10), (ACKED, acked)]);
        socket.info.as_mut().unwrap().unacked = 1;
        socket
    };
    assert_eq!(flying(6).direction(true), accepted);
    assert_eq!(flying(7).direction(false), connected);
    // The counters and the listeners disagree, or the sum was read in the middle of a change.
    assert_eq!(flying(6).direction(false), None);
    assert_eq!(flying(9).direction(false), None);
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    let mut random = fastrand::Rng::with_seed(17);
    let mut seed = netlink(BY_FAMILY, 2, 1, &body(1, 0, 0, &[(SENT, 1)]));
    seed.extend(netlink(BY_FAMILY, 2, 1, &body(10, 0, 0, &[])));
    let mut sockets = 0;
    for _ in 0..50_000 {
        let mut bytes = seed.clone();
        for _ in 0..random.usize(0..10) {
            let at = random.usize(..bytes.len());
            bytes[at] = *random
                .choice(&[0, 1, 0x7f, 0x80, 0xff, random.clone().u8(..)])
                .unwrap();
        }
        bytes.truncate(random.usize(..=bytes.len()));
        parse(&bytes, |socket| {
            sockets += 1;
            let _all = (
                socket.control_sent(),
                socket.direction(true),
                socket.payload_received(true),
            );
        });
    }
    assert!(sockets > 1000);
}
