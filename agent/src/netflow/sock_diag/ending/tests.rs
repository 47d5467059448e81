//! Endings as Linux 6.18 reported them; each line is one close of a real socket.

use super::*;

const CONNECT: u8 = direction::CONNECT;
const ACCEPT: u8 = direction::ACCEPT;

/// What was acknowledged and sent, what is left in the receive and the send queue.
fn socket(acked: u64, sent: u64, receive_queue: u32, send_queue: u32) -> InetSocket {
    let mut body = vec![0; 72];
    body[1] = 7;
    body[56..60].copy_from_slice(&receive_queue.to_ne_bytes());
    body[60..64].copy_from_slice(&send_queue.to_ne_bytes());
    let mut socket = InetSocket::parse(&body).unwrap();
    socket.ends.local_port = 40_000;
    socket.ends.remote_port = 80;
    socket.info = Some(TcpInfo {
        bytes_acked: acked,
        bytes_sent: sent,
        ..TcpInfo::default()
    });
    socket
}

fn direction_state_fin(end: Ending) -> (u8, u32, bool) {
    (end.direction, end.state, end.fin)
}

#[test]
fn who_closed_first_is_told_from_what_the_socket_left_behind() {
    let nothing = Seen::default();
    // The client closed, the server has not yet.
    let first = socket(12, 10, 0, 0);
    assert!(needs_look(&first, nothing, false));
    assert_eq!(
        direction_state_fin(ending(&first, nothing, false, LeftBehind::FinWait2)),
        (CONNECT, state::FIN_WAIT2, false)
    );
    // The server read to the end and closed.
    let second = socket(8, 7, 0, 0);
    assert!(needs_look(&second, nothing, true));
    assert_eq!(
        direction_state_fin(ending(&second, nothing, true, LeftBehind::Nothing)),
        (ACCEPT, state::LAST_ACK, true)
    );
}

#[test]
fn a_fin_that_nobody_read_is_found_in_the_receive_queue() {
    let unread = socket(1, 0, 1, 0);
    assert!(!needs_look(&unread, Seen::default(), true));
    let end = ending(&unread, Seen::default(), true, LeftBehind::Nothing);
    assert_eq!(direction_state_fin(end), (ACCEPT, state::LAST_ACK, true));
}

#[test]
fn a_pass_that_saw_the_half_close_knows_that_the_fin_came_before_the_close() {
    let shut = socket(12, 10, 0, 0);
    let seen = Seen {
        direction: CONNECT,
        fin: false,
        half_closed: true,
    };
    let end = ending(&shut, seen, false, LeftBehind::TimeWait);
    assert_eq!(direction_state_fin(end), (CONNECT, state::FIN_WAIT2, true));
}

#[test]
fn an_end_without_an_acknowledged_fin_is_a_reset_or_a_timeout() {
    // Closed with unread data: RST instead of FIN.
    let unread = socket(1, 0, 10, 0);
    let client = Seen {
        direction: CONNECT,
        ..Seen::default()
    };
    let end = ending(&unread, client, false, LeftBehind::Nothing);
    assert_eq!(
        direction_state_fin(end),
        (CONNECT, state::ESTABLISHED, false)
    );
    assert_eq!(end.error, 0);
    // The peer reset it after its FIN, which a pass saw.
    let seen = Seen {
        fin: true,
        ..client
    };
    let end = ending(&unread, seen, false, LeftBehind::Nothing);
    assert_eq!(direction_state_fin(end), (CONNECT, state::CLOSE_WAIT, true));
    // Ten bytes in flight that nobody acknowledged.
    let mut silent = socket(1, 10, 0, 10);
    silent.info.as_mut().unwrap().timeouts = 9;
    let end = ending(&silent, client, false, LeftBehind::Nothing);
    assert_eq!(i32::from(end.error), libc::ETIMEDOUT);
}

#[test]
fn a_connect_that_nobody_answered_was_never_established() {
    assert!(!was_established(&TcpInfo {
        segments_in: 1,
        segments_out: 1,
        ..TcpInfo::default()
    }));
    assert!(was_established(&TcpInfo {
        send_window: 65_536,
        ..TcpInfo::default()
    }));
}

#[test]
fn a_server_whose_listener_no_pass_has_seen_is_told_from_a_client_by_asking() {
    let server = socket(1, 0, 0, 0);
    assert!(needs_look(&server, Seen::default(), false));
    for (left, fin) in [
        (LeftBehind::Listener, true),
        (LeftBehind::FinWait2, false),
        (LeftBehind::TimeWait, false),
    ] {
        let end = ending(&server, Seen::default(), false, left);
        assert_eq!((end.direction, end.fin), (ACCEPT, fin), "{left:?}");
    }
    // Nobody listens: a client that was reset.
    let end = ending(&server, Seen::default(), false, LeftBehind::Nothing);
    assert_eq!(
        (end.direction, end.state),
        (direction::UNKNOWN, state::ESTABLISHED)
    );
}
