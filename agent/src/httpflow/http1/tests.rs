//! Bytes of a connection in, requests with their answers out.

use weir_ebpf_common::http::flag;

use crate::httpflow::wire::{From, Wire};

mod hostile;
mod lost;
mod splits;

const GET: &str = "GET /a?secret=1 HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn server() -> Wire {
    Wire::new(true)
}

fn line(text: &str, status: u16, bytes: (usize, usize)) -> (String, u16, (u64, u64)) {
    (text.to_owned(), status, (bytes.0 as u64, bytes.1 as u64))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[test]
fn a_request_is_counted_with_its_answer() {
    for is_server in [true, false] {
        let mut wire = Wire::new(is_server);
        wire.ask(GET).wait(4).answer(OK);
        let told = wire.one();
        assert_eq!((&told.line[..], told.status), ("GET /a 1.1", 200));
        assert_eq!(told.bytes, (GET.len() as u64, OK.len() as u64));
        assert_eq!(told.latency_ns, Some(5_000_000));
        assert_eq!(told.finished, 1);
        assert_eq!(wire.tally().requests, 1);
    }
}

#[test]
fn every_request_of_a_kept_connection_is_counted() {
    let mut wire = server();
    for number in 0..300 {
        wire.ask(get(&format!("/{number}"))).answer(OK);
    }
    let sums = wire.sums();
    assert_eq!(sums.len(), 300);
    assert_eq!(
        sums[299],
        line("GET /299 1.1", 200, (get("/299").len(), OK.len()))
    );
}

#[test]
fn a_client_that_does_not_wait_gets_its_answers_in_order() {
    let (first, second) = (get("/1"), get("/2"));
    let not_found = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    for together in [false, true] {
        let mut wire = server();
        if together {
            wire.ask(format!("{first}{second}"));
            wire.answer(format!("{OK}{not_found}"));
        } else {
            wire.ask(&first).ask(&second).answer(OK).answer(not_found);
        }
        let expected = [
            line("GET /1 1.1", 200, (first.len(), OK.len())),
            line("GET /2 1.1", 404, (second.len(), not_found.len())),
        ];
        assert_eq!(wire.sums(), expected);
    }
}

#[test]
fn the_latency_of_a_request_ends_nowhere_near_that_of_the_one_behind_it() {
    let mut wire = server();
    wire.ask(get("/1"))
        .wait(9)
        .ask(get("/2"))
        .answer(OK)
        .answer(OK);
    let latencies: Vec<_> = wire.told.iter().map(|told| told.latency_ns).collect();
    assert_eq!(latencies, [Some(11_000_000), Some(2_000_000)]);
}

#[test]
fn bytes_of_a_body_that_is_never_seen_are_counted() {
    let post = "POST /up HTTP/1.1\r\nContent-Length: 100000\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n";
    let mut wire = server();
    wire.ask(post);
    for _ in 0..100 {
        wire.wait(3).ask([b'x'; 1000]);
    }
    wire.answer(answer);
    assert_eq!(wire.one().bytes.0, post.len() as u64 + 100_000);
    assert_eq!(wire.one().latency_ns, Some(1_000_000));
    for _ in 0..50 {
        wire.answer([b'y'; 1000]);
    }
    wire.ask(GET).answer(OK);
    let whole = (post.len() + 100_000, answer.len() + 50_000);
    assert_eq!(wire.sums()[0], line("POST /up 1.1", 200, whole));
    assert_eq!(wire.sums()[1].1, 200);
}

#[test]
fn the_end_of_the_connection_ends_the_last_body() {
    let answer = "HTTP/1.0 200 OK\r\n\r\n";
    let mut wire = server();
    wire.ask("GET / HTTP/1.0\r\n\r\n").answer(answer);
    for _ in 0..200 {
        wire.answer([b'y'; 1000]);
    }
    wire.end(flag::FIN);
    assert_eq!(
        wire.sums(),
        [line("GET / 1.0", 200, (18, answer.len() + 200_000))]
    );
    assert_eq!(wire.one().finished, 1);
    assert_eq!(wire.tracker.connections(), 0);
}

#[test]
fn a_body_that_is_cut_off_counts_as_far_as_it_came() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome";
    let mut wire = server();
    wire.ask(GET).answer(answer).end(flag::RESET);
    assert_eq!(wire.one().bytes.1, answer.len() as u64);
    assert_eq!((wire.one().status, wire.one().finished), (200, 1));
}

#[test]
fn a_body_in_chunks_ends_with_its_last() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
    let mut wire = server();
    wire.ask(get("/1")).ask(get("/2"));
    wire.answer(format!("{head}5\r\nhello\r\n"));
    wire.answer(format!("0\r\n\r\n{OK}"));
    let expected = [
        line("GET /1 1.1", 200, (get("/1").len(), head.len() + 15)),
        line("GET /2 1.1", 200, (get("/2").len(), OK.len())),
    ];
    assert_eq!(wire.sums(), expected);
}

#[test]
fn a_body_in_chunks_that_is_not_seen_ends_with_the_next_request() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut wire = server();
    wire.ask(get("/1")).answer(head);
    // One that begins like a message is no message.
    for chunk in ["HTTP/1.1 404 Not Found\r\n\r\n", "something else", OK] {
        for _ in 0..20 {
            wire.answer(format!("{:x}\r\n{chunk}\r\n", chunk.len()));
            wire.answer(format!("{:x}\r\n", chunk.len()))
                .answer(chunk)
                .answer("\r\n");
        }
    }
    wire.answer("0\r\n\r\n");
    wire.ask(get("/2")).answer(OK);
    let sums = wire.sums();
    assert_eq!(sums.len(), 2, "{sums:?}");
    assert!(sums[0].2.1 > 2000);
    assert_eq!(
        sums[1],
        line("GET /2 1.1", 200, (get("/2").len(), OK.len()))
    );
}

#[test]
fn requests_in_a_body_are_no_requests() {
    let inner = get("/inner");
    let post = format!(
        "POST /up HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
        inner.len() * 50
    );
    let mut wire = server();
    wire.ask(&post);
    for _ in 0..50 {
        wire.ask(&inner);
    }
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        OK.len() * 3
    );
    wire.answer(&answer).answer(OK).answer(OK).answer(OK);
    wire.ask(GET).answer(OK);
    let whole = (post.len() + inner.len() * 50, answer.len() + OK.len() * 3);
    assert_eq!(wire.sums()[0], line("POST /up 1.1", 200, whole));
    assert_eq!(wire.sums().len(), 2);
}

#[test]
fn answers_without_a_body_have_none() {
    let length = "Content-Length: 100\r\n\r\n";
    let mut wire = server();
    let head = "HEAD / HTTP/1.1\r\n\r\n";
    wire.ask(head)
        .answer(format!("HTTP/1.1 200 OK\r\n{length}"));
    wire.ask(GET)
        .answer(format!("HTTP/1.1 304 Not Modified\r\n{length}"));
    wire.ask(GET).answer("HTTP/1.1 204 No Content\r\n\r\n");
    wire.ask(GET).answer(OK);
    let statuses: Vec<_> = wire.sums().iter().map(|sum| sum.1).collect();
    assert_eq!(statuses, [200, 304, 204, 200]);
    assert_eq!(wire.told[0].line, "HEAD / 1.1");
    assert!(wire.told.iter().all(|told| told.finished == 1));
}

#[test]
fn interim_answers_are_none_of_their_own() {
    let post = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let mut wire = server();
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    wire.ask(post).answer(go_on).wait(50).ask("body");
    wire.answer(hints).wait(2).answer(OK);
    let told = wire.one();
    assert_eq!((told.status, told.bytes.0), (200, post.len() as u64 + 4));
    let answered = go_on.len() + hints.len() + OK.len();
    assert_eq!(told.bytes.1, answered as u64);
    assert_eq!(told.latency_ns, Some(4_000_000));
}

#[test]
fn a_body_that_was_refused_need_not_come() {
    let post = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4000\r\n\r\n";
    let refused = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n";
    let mut wire = server();
    wire.ask(post).answer(refused).ask(GET).answer(OK);
    let expected = [
        line("POST / 1.1", 417, (post.len(), refused.len())),
        line("GET /a 1.1", 200, (GET.len(), OK.len())),
    ];
    assert_eq!(wire.sums(), expected);
}

#[test]
fn what_comes_after_an_upgrade_is_not_http() {
    let upgrade = "GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    let connect = "CONNECT db.example:5432 HTTP/1.1\r\n\r\n";
    let connected = "HTTP/1.1 200 Connection established\r\n\r\n";
    for (request, answer, expected) in [
        (
            upgrade,
            switched,
            line("GET /chat 1.1", 101, (upgrade.len(), switched.len())),
        ),
        (
            connect,
            connected,
            line("CONNECT  1.1", 200, (connect.len(), connected.len())),
        ),
    ] {
        let mut wire = server();
        wire.ask(request).answer(answer);
        wire.ask(GET).answer(OK).end(flag::FIN);
        assert_eq!(wire.sums(), [expected]);
        assert_eq!(wire.one().finished, 1);
        assert_eq!(wire.tally().tunnels, 1);
    }
}

#[test]
fn a_tunnel_that_was_refused_is_followed_by_requests() {
    let connect = "CONNECT db.example:5432 HTTP/1.1\r\n\r\n";
    let refused = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    let mut wire = server();
    wire.ask(connect).answer(refused).ask(GET).answer(OK);
    let statuses: Vec<_> = wire.sums().iter().map(|sum| sum.1).collect();
    assert_eq!(statuses, [403, 200]);
}

#[test]
fn a_request_without_answer_is_counted_with_its_reason() {
    let mut wire = server();
    wire.ask(GET).wait(29_000).tick();
    assert!(wire.told.is_empty());
    wire.wait(2000).tick().tick();
    assert_eq!((wire.one().status, wire.one().reason), (0, "timeout"));
    assert_eq!(wire.one().latency_ns, None);
    for (how, reason) in [
        (flag::FIN, "closed"),
        (flag::RESET, "reset"),
        (flag::GONE, "closed"),
    ] {
        let mut wire = server();
        wire.ask(GET).end(how);
        assert_eq!((wire.one().status, wire.one().reason), (0, reason));
        assert_eq!(wire.one().bytes, (GET.len() as u64, 0));
    }
}

#[test]
fn an_answer_that_comes_too_late_is_not_taken_for_the_next() {
    let mut wire = server();
    wire.ask(get("/slow")).wait(31_000).tick();
    wire.ask(get("/next"));
    wire.answer("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
        .answer(OK);
    let outcomes: Vec<_> = wire
        .told
        .iter()
        .map(|told| (&told.line[..], told.status))
        .collect();
    assert_eq!(outcomes, [("GET /slow 1.1", 0), ("GET /next 1.1", 200)]);
    assert_eq!(wire.sums()[0].2.1, 40);
    assert_eq!(wire.tally().late_answers, 1);
}

#[test]
fn an_upload_that_is_under_way_does_not_time_out() {
    let mut wire = server();
    wire.ask("POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n");
    wire.wait(60_000).tick();
    assert!(wire.told.is_empty());
    wire.pass(From::Client, 100_000);
    wire.answer(OK);
    assert_eq!(wire.one().status, 200);
}

#[test]
fn a_long_answer_does_not_time_out() {
    let mut wire = server();
    wire.ask(GET)
        .answer("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n");
    wire.wait(60_000).tick().end(flag::FIN);
    assert_eq!(wire.one().status, 200);
}

#[test]
fn a_download_of_many_gigabytes_is_counted_whole() {
    let length = 20u64 << 30;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let mut wire = server();
    wire.ask(GET).answer(&head);
    for _ in 0..20 {
        wire.pass(From::Server, 1 << 30);
    }
    wire.ask(GET).answer(OK);
    assert_eq!(wire.sums()[0].2.1, head.len() as u64 + length);
    assert_eq!(wire.sums()[1].2.1, OK.len() as u64);
}
