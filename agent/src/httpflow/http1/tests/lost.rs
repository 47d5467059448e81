//! Pieces that were lost, came early, late or twice, or came before the agent.

use weir_ebpf_common::http::flag;

use super::{GET, OK, get, line, server};
use crate::httpflow::wire::{From, Wire};

/// Two segments of which the second arrives first.
fn overtaken(wire: &mut Wire, from: From, first: &str, second: &str) {
    let at = wire.pass(from, first.len());
    let next = wire.pass(from, second.len());
    wire.hand_on(from, next, (second.as_bytes(), second.len()), 0);
    wire.hand_on(from, at, (first.as_bytes(), first.len()), 0);
}

#[test]
fn segments_that_were_overtaken_are_put_in_order() {
    for cut in [3, 10, GET.len() - 2] {
        let mut wire = server();
        let (first, second) = GET.split_at(cut);
        wire.ask(GET).answer(OK);
        overtaken(&mut wire, From::Client, first, second);
        wire.answer(OK);
        let expected = line("GET /a 1.1", 200, (GET.len(), OK.len()));
        assert_eq!(wire.sums(), [expected.clone(), expected]);
    }
}

#[test]
fn answers_that_were_overtaken_are_put_in_order() {
    let mut wire = Wire::new(false);
    let not_found = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    wire.ask(GET).answer(OK);
    wire.ask(get("/1")).ask(get("/2"));
    overtaken(&mut wire, From::Server, OK, not_found);
    let outcomes: Vec<_> = wire
        .told
        .iter()
        .map(|told| (&told.line[..], told.status))
        .collect();
    assert_eq!(outcomes[1..], [("GET /1 1.1", 200), ("GET /2 1.1", 404)]);
}

#[test]
fn what_comes_twice_counts_once() {
    let mut wire = server();
    let at = wire.pass(From::Client, GET.len());
    for _ in 0..3 {
        wire.hand_on(From::Client, at, (GET.as_bytes(), GET.len()), 0);
    }
    let twice = format!("{}{}", &GET[10..], get("/next"));
    wire.pass(From::Client, get("/next").len());
    let length = twice.len();
    wire.hand_on(
        From::Client,
        at.wrapping_add(10),
        (twice.as_bytes(), length),
        0,
    );
    wire.answer(OK).answer(OK);
    let lines: Vec<_> = wire.told.iter().map(|told| &told.line[..]).collect();
    assert_eq!(lines, ["GET /a 1.1", "GET /next 1.1"]);
}

#[test]
fn a_connection_that_is_older_than_the_agent_is_followed_from_its_next_request() {
    for is_server in [true, false] {
        let mut wire = Wire::new(is_server);
        wire.pass(From::Client, 500);
        wire.pass(From::Server, 700);
        wire.flags |= flag::MIDWAY;
        wire.answer("the rest of a body").answer(OK);
        assert!(wire.told.is_empty());
        wire.ask(GET).answer(OK).ask(get("/b")).answer(OK);
        let lines: Vec<_> = wire.told.iter().map(|told| &told.line[..]).collect();
        assert_eq!(lines, ["GET /a 1.1", "GET /b 1.1"]);
        assert_eq!(wire.tally().request_unseen, 1);
    }
}

#[test]
fn a_lost_request_costs_no_other() {
    for is_server in [true, false] {
        let mut wire = Wire::new(is_server);
        wire.ask(get("/1")).answer(OK);
        wire.lose = true;
        wire.ask(get("/lost"));
        wire.answer("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
        wire.ask(get("/2")).answer(OK).ask(get("/3")).answer(OK);
        let outcomes: Vec<_> = wire
            .told
            .iter()
            .map(|told| (&told.line[..], told.status))
            .collect();
        let expected = [
            ("GET /1 1.1", 200),
            ("GET /2 1.1", 200),
            ("GET /3 1.1", 200),
        ];
        assert_eq!(outcomes, expected);
        assert_eq!(wire.tally().request_unseen, 1);
    }
}

#[test]
fn a_lost_answer_costs_no_other() {
    for is_server in [true, false] {
        let mut wire = Wire::new(is_server);
        wire.ask(get("/1")).answer(OK).ask(get("/lost"));
        wire.lose = true;
        wire.answer("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
        wire.ask(get("/2")).answer(OK).ask(get("/3")).answer(OK);
        let outcomes: Vec<_> = wire
            .told
            .iter()
            .map(|told| (&told.line[..], told.status))
            .collect();
        let expected = [
            ("GET /1 1.1", 200),
            ("GET /2 1.1", 200),
            ("GET /3 1.1", 200),
        ];
        assert_eq!(outcomes, expected);
        assert_eq!(wire.tally().answer_unseen, 1);
    }
}

#[test]
fn losing_any_piece_never_gives_a_request_the_answer_of_another() {
    for is_server in [true, false] {
        for lost in 0..24 {
            let mut wire = Wire::new(is_server);
            for number in 0..12 {
                let status = 200 + number;
                wire.lose = lost == 2 * number;
                wire.ask(get(&format!("/{status}")));
                wire.lose = lost == 2 * number + 1;
                wire.answer(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
            }
            wire.end(flag::FIN);
            let answered = wire.told.iter().filter(|told| told.status != 0);
            for told in answered.clone() {
                assert_eq!(told.line, format!("GET /{} 1.1", told.status));
            }
            let tally = wire.tally();
            assert_eq!(answered.count(), 11, "{lost}");
            // That the last answer was lost cannot be told from that there was none.
            let unanswered = wire.told.len() as u64 - 11;
            let unseen = tally.request_unseen + tally.answer_unseen;
            assert_eq!(unseen + unanswered, 1, "{lost}: {tally:?}");
        }
    }
}

#[test]
fn answers_behind_what_was_captured_are_counted_as_unseen() {
    let mut wire = server();
    wire.most = 4096;
    let many: String = (0..10).map(|number| get(&format!("/{number}"))).collect();
    wire.ask(&many);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}",
        "x".repeat(1000)
    );
    wire.answer(answer.repeat(10));
    wire.ask(get("/next")).answer(OK);
    let tally = wire.tally();
    assert_eq!(
        wire.told.len() as u64 + tally.answer_unseen,
        11,
        "{tally:?}"
    );
    assert_eq!(wire.told.last().unwrap().line, "GET /next 1.1");
    assert_eq!(wire.told.last().unwrap().bytes.1, OK.len() as u64);
    assert_eq!(wire.told.len(), 5);
}

#[test]
fn a_head_longer_than_what_is_captured_is_read_as_far_as_it_goes() {
    let long = format!(
        "GET /a HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n",
        "c".repeat(6000)
    );
    let mut wire = server();
    wire.ask(&long).answer(OK).ask(get("/b")).answer(OK);
    let expected = [
        line("GET /a 1.1", 200, (long.len(), OK.len())),
        line("GET /b 1.1", 200, (get("/b").len(), OK.len())),
    ];
    assert_eq!(wire.sums(), expected);
}

#[test]
fn an_overtaken_piece_that_never_comes_is_given_up_after_a_second() {
    let mut wire = server();
    wire.ask(get("/1")).answer(OK);
    wire.lose = true;
    wire.ask(get("/lost")).ask(get("/2"));
    wire.tick();
    assert_eq!(wire.tally().gaps, 0);
    wire.wait(1500).tick();
    assert_eq!(wire.tally().gaps, 1);
}
