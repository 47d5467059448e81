//! What is no HTTP, or bad HTTP: bounded, classified and counted.

use weir_ebpf_common::http::flag;

use super::{GET, OK, get, server};
use crate::httpflow::wire::{From, Wire, settings};

#[test]
fn what_only_looks_like_http_is_left_alone() {
    for other in [
        "GET /key\r\n",
        "GET hello\r\n",
        "POST / no version\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03",
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n",
        "\0\0\0\0binary",
    ] {
        let mut wire = server();
        wire.ask(other);
        assert_eq!(wire.tally().not_http, 1, "{other:?}");
        wire.ask(GET).answer(OK);
        assert!(wire.told.is_empty(), "{other:?}");
        wire.end(flag::FIN);
        assert_eq!(wire.tracker.connections(), 0);
    }
}

#[test]
fn rubbish_after_http_is_passed() {
    let mut wire = server();
    wire.ask(GET)
        .answer(OK)
        .ask("\0\0rubbish that is long enough")
        .answer(OK);
    wire.ask(get("/b")).answer(OK);
    assert_eq!(wire.told.last().unwrap().line, "GET /b 1.1");
    assert_eq!(wire.tally().unreadable, 1);
    for _ in 0..20 {
        wire.ask("\0\0rubbish that is long enough").answer("\0more");
    }
    assert_eq!(wire.tally().not_http, 0);
}

#[test]
fn a_head_that_comes_byte_by_byte_is_read_where_all_is_handed_on() {
    let mut wire = server();
    wire.all = true;
    for byte in GET.bytes() {
        wire.ask([byte]);
    }
    for byte in OK.bytes() {
        wire.answer([byte]);
    }
    wire.end(flag::FIN);
    assert_eq!(wire.one().line, "GET /a 1.1");
    assert_eq!(wire.one().bytes, (GET.len() as u64, OK.len() as u64));
}

#[test]
fn a_head_that_never_ends_takes_no_more_than_its_room() {
    let mut wire = server();
    wire.all = true;
    wire.ask("GET /slow HTTP/1.1\r\n");
    for number in 0..10_000 {
        wire.ask(format!("X-{number}: {}\r\n", "x".repeat(50)));
    }
    assert!(wire.tracker.held() <= 1 << 16, "{}", wire.tracker.held());
    wire.end(flag::FIN);
    assert_eq!(
        (&wire.one().line[..], wire.one().reason),
        ("GET /slow 1.1", "closed")
    );
}

#[test]
fn a_head_that_is_left_unfinished_is_a_request_without_an_answer() {
    for is_server in [true, false] {
        let mut wire = Wire::new(is_server);
        wire.ask("GET /slow HTTP/1.1\r\nHost: here\r\n")
            .ask("X: y\r\n");
        wire.end(flag::FIN);
        let told = wire.one();
        assert_eq!((&told.line[..], told.reason), ("GET /slow 1.1", "closed"));
    }
    let mut wire = server();
    wire.ask("GET /cut-in-its-first-li").end(flag::FIN);
    assert_eq!((wire.told.len(), wire.tally().head_cut), (0, 1));
}

#[test]
fn a_head_of_very_many_lines_is_read_as_far_as_its_first() {
    let mut wire = server();
    let bomb = format!("GET /bomb HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(500));
    wire.ask(&bomb).answer(OK).ask(get("/b")).answer(OK);
    assert_eq!(wire.sums()[0].0, "GET /bomb 1.1");
    assert_eq!(wire.sums()[0].2, (bomb.len() as u64, OK.len() as u64));
    assert_eq!(wire.sums()[1].0, "GET /b 1.1");
}

#[test]
fn many_slow_clients_take_no_more_than_all_may() {
    let mut wire = server();
    wire.tracker = crate::httpflow::Tracker::new(crate::httpflow::Settings {
        max_connections: 100_000,
        ..settings()
    });
    let half = format!("GET / HTTP/1.1\r\nCookie: {}", "x".repeat(4000));
    for socket in 0..20_000 {
        wire.socket = socket;
        wire.halves_anew();
        wire.ask(&half);
    }
    assert!(wire.tracker.held() <= 33 << 20, "{}", wire.tracker.held());
    assert!(wire.tally().buffers_full > 0);
}

#[test]
fn connections_past_the_most_are_forgotten_and_what_they_waited_for_is_counted() {
    let mut wire = server();
    wire.tracker = crate::httpflow::Tracker::new(crate::httpflow::Settings {
        max_connections: 100,
        ..settings()
    });
    for socket in 0..1000 {
        wire.socket = socket;
        wire.halves_anew();
        wire.ask(GET);
    }
    assert!(wire.tracker.connections() <= 100);
    assert_eq!(wire.tally().connections_full, 900);
    wire.end(flag::FIN);
    assert_eq!(wire.told.len(), 1);
}

#[test]
fn more_requests_than_may_wait_are_counted_and_cost_no_others() {
    let mut wire = server();
    for _ in 0..300 {
        wire.ask(get("/flood"));
    }
    for _ in 0..300 {
        wire.answer(OK);
    }
    wire.ask(get("/after"))
        .answer("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    let tally = wire.tally();
    assert_eq!(tally.requests + tally.requests_full, 301, "{tally:?}");
    assert_eq!(tally.request_unseen, 0);
    let last = wire.told.last().unwrap();
    assert_eq!((&last.line[..], last.status), ("GET /after 1.1", 404));
}

#[test]
fn odd_lengths_are_survived() {
    for length in [
        "18446744073709551615",
        "-1",
        "5, 5",
        "",
        "0x10",
        "99999999999999999999",
    ] {
        let mut wire = Wire::new(true);
        let post = format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nbody");
        wire.ask(post).ask("body").answer(&answer);
        wire.pass(From::Server, 1 << 20);
        wire.end(flag::FIN);
        assert_eq!(wire.one().status, 200, "{length}");
        assert!(wire.one().bytes.1 >= answer.len() as u64);
    }
}
