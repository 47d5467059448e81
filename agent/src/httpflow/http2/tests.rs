//! Frames in, requests with their answers out.

use loona_hpack::Encoder;
use weir_ebpf_common::http::{flag, protocol};

use crate::httpflow::wire::Wire;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn data(stream: u32, length: usize, flags: u8) -> Vec<u8> {
    frame(0, flags, stream, &vec![0; length])
}

fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[])
}

/// Both ends, which name fields once and then by their place in the table.
struct Talk {
    wire: Wire,
    client: Encoder<'static>,
    server: Encoder<'static>,
}

impl Talk {
    fn new(is_server: bool) -> Self {
        let mut wire = Wire::new(is_server);
        wire.protocol = protocol::HTTP2;
        Self {
            wire,
            client: Encoder::new(),
            server: Encoder::new(),
        }
    }

    fn begun(is_server: bool) -> Self {
        let mut talk = Self::new(is_server);
        talk.wire.ask([PREFACE, &settings()].concat());
        talk.wire.answer(settings());
        talk
    }

    fn request(&mut self, method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
        let fields = [
            (":method", method),
            (":path", path),
            (":authority", "Api.example:80"),
        ];
        block(&mut self.client, fields.iter().chain(more))
    }

    fn answer(&mut self, status: &str) -> Vec<u8> {
        block(
            &mut self.server,
            [(":status", status), ("server", "x")].iter(),
        )
    }

    fn get(&mut self, stream: u32, path: &str) -> Vec<u8> {
        let request = self.request("GET", path, &[]);
        frame(1, END_STREAM | END_HEADERS, stream, &request)
    }

    fn ok(&mut self, stream: u32) -> Vec<u8> {
        let answer = self.answer("200");
        [
            frame(1, END_HEADERS, stream, &answer),
            data(stream, 5, END_STREAM),
        ]
        .concat()
    }
}

fn block<'a>(
    encoder: &mut Encoder<'_>,
    fields: impl Iterator<Item = &'a (&'a str, &'a str)>,
) -> Vec<u8> {
    encoder.encode(fields.map(|(name, value)| (name.as_bytes(), value.as_bytes())))
}

fn outcomes(wire: &Wire) -> Vec<(&str, u16)> {
    wire.sums();
    let told = wire.told.iter();
    told.map(|told| (&told.line[..], told.status)).collect()
}

#[test]
fn a_request_is_counted_with_its_answer() {
    for is_server in [true, false] {
        let mut talk = Talk::begun(is_server);
        let (get, ok) = (talk.get(1, "/a?q=1"), talk.ok(1));
        talk.wire.ask(&get).wait(4).answer(&ok);
        let told = talk.wire.one();
        assert_eq!((&told.line[..], told.status), ("GET /a 2", 200));
        assert_eq!(told.bytes, (get.len() as u64, ok.len() as u64));
        assert_eq!(told.latency_ns, Some(5_000_000));
        assert_eq!(told.finished, 1);
        let host = (!is_server).then_some("api.example");
        assert_eq!(told.host.as_deref(), host);
    }
}

#[test]
fn streams_at_the_same_time_keep_their_own_answers() {
    let mut talk = Talk::begun(true);
    let asked: Vec<_> = (0..100)
        .flat_map(|n| talk.get(2 * n + 1, &format!("/{n}")))
        .collect();
    talk.wire.ask(asked);
    for number in (0..100).rev() {
        let status = (200 + number).to_string();
        let answer = talk.answer(&status);
        let stream = 2 * number + 1;
        talk.wire
            .answer(frame(1, END_HEADERS | END_STREAM, stream, &answer));
    }
    assert_eq!(talk.wire.told.len(), 100);
    for (line, status) in outcomes(&talk.wire) {
        assert_eq!(line, format!("GET /{} 2", status - 200));
    }
}

#[test]
fn payload_that_is_not_seen_is_counted() {
    let mut talk = Talk::begun(true);
    let head = talk.request("POST", "/up", &[]);
    let mut asked = frame(1, END_HEADERS, 1, &head);
    for _ in 0..20 {
        asked.extend(data(1, 16_384, 0));
        asked.extend(data(1, 7, 0));
    }
    asked.extend(data(1, 3000, END_STREAM));
    for part in asked.chunks(1400) {
        talk.wire.ask(part);
    }
    let ok = talk.ok(1);
    talk.wire.answer(&ok);
    assert_eq!(talk.wire.one().bytes, (asked.len() as u64, ok.len() as u64));
    assert_eq!(talk.wire.one().latency_ns, Some(1_000_000));
}

#[test]
fn however_frames_are_cut_the_same_is_told() {
    for size in 1..60 {
        let mut talk = Talk::begun(true);
        // The kernel cannot tell frames whose headers are cut, and then hands on everything.
        let (first, second) = (talk.get(1, "/first"), talk.get(3, "/second"));
        let answers = [talk.ok(3), talk.ok(1)].concat();
        for part in [first.clone(), second].concat().chunks(size) {
            talk.wire.ask(part);
        }
        for part in answers.chunks(size) {
            talk.wire.answer(part);
        }
        let told = outcomes(&talk.wire);
        assert_eq!(
            told,
            [("GET /second 2", 200), ("GET /first 2", 200)],
            "{size}"
        );
        assert_eq!(talk.wire.told[1].bytes.0, first.len() as u64);
    }
}

#[test]
fn segments_that_were_overtaken_are_put_in_order() {
    let mut talk = Talk::begun(true);
    let ok = talk.ok(1);
    let get = talk.get(1, "/a");
    talk.wire.ask(get).answer(ok);
    talk.wire.shuffles = true;
    let asked: Vec<_> = (1..9).map(|n| talk.get(2 * n + 1, "/b")).collect();
    for get in asked {
        talk.wire.ask(get);
    }
    for number in 1..9 {
        let ok = talk.ok(2 * number + 1);
        talk.wire.answer(ok);
    }
    talk.wire.end(flag::FIN);
    assert!(
        outcomes(&talk.wire)
            .iter()
            .all(|(_, status)| *status == 200)
    );
    assert_eq!(talk.wire.told.len(), 9);
    assert_eq!(talk.wire.tally().gaps, 0);
}

#[test]
fn heads_in_several_frames_with_padding_and_priority_are_read() {
    let mut talk = Talk::begun(true);
    let request = talk.request("GET", "/long", &[("cookie", "c")]);
    let (a, rest) = request.split_at(4);
    let (b, c) = rest.split_at(3);
    let padded = [&[2][..], &[0, 0, 0, 0, 9], a, &[0, 0]].concat();
    let asked = [
        frame(1, END_STREAM | 8 | 0x20, 1, &padded),
        frame(9, 0, 1, b),
        frame(9, END_HEADERS, 1, c),
    ];
    let ok = talk.ok(1);
    talk.wire.ask(asked.concat()).answer(ok);
    assert_eq!(outcomes(&talk.wire), [("GET /long 2", 200)]);
}

#[test]
fn a_grpc_call_is_counted_with_its_status() {
    for status in ["0", "14"] {
        let mut talk = Talk::begun(false);
        let grpc = [("content-type", "application/grpc+proto")];
        let head = talk.request("POST", "/echo.Echo/Say", &grpc);
        let asked = [frame(1, END_HEADERS, 1, &head), data(1, 20, END_STREAM)].concat();
        let answer = talk.answer("200");
        let trailer = block(&mut talk.server, [("grpc-status", status)].iter());
        talk.wire
            .ask(asked)
            .answer(frame(1, END_HEADERS, 1, &answer));
        talk.wire.answer(data(1, 30, 0));
        assert!(talk.wire.told.is_empty());
        talk.wire
            .answer(frame(1, END_HEADERS | END_STREAM, 1, &trailer));
        let told = talk.wire.one();
        assert_eq!(told.line, "POST /echo.Echo/Say 2");
        assert_eq!(told.grpc_status, Some(status.parse().unwrap()));
        assert_eq!(told.latency_ns, Some(1_000_000));
    }
}

#[test]
fn a_stream_that_is_reset_refused_or_left_has_no_answer() {
    let reset = frame(3, 0, 1, &[0, 0, 0, 8]);
    let refused = frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0]);
    for (frame, reason) in [(reset, "reset"), (refused, "closed")] {
        let mut talk = Talk::begun(true);
        let get = talk.get(1, "/a");
        talk.wire.ask(get).answer(frame);
        assert_eq!(
            (talk.wire.one().status, talk.wire.one().reason),
            (0, reason)
        );
    }
    let mut talk = Talk::begun(true);
    let get = talk.get(1, "/a");
    talk.wire.ask(get).wait(31_000).tick();
    assert_eq!(talk.wire.one().reason, "timeout");
    let ok = talk.ok(1);
    talk.wire.answer(ok);
    assert_eq!(talk.wire.tally().late_answers, 1);
    talk.wire.end(flag::FIN);
    talk.wire.one();
}

#[test]
fn an_answer_that_crosses_a_reset_is_nothing_lost() {
    let mut talk = Talk::begun(true);
    let (get, ok) = (talk.get(1, "/a"), talk.ok(1));
    talk.wire
        .ask(get)
        .ask(frame(3, 0, 1, &[0, 0, 0, 8]))
        .answer(ok);
    assert_eq!(talk.wire.one().reason, "reset");
    assert_eq!(talk.wire.tally().request_unseen, 0);
    let ok = talk.ok(3);
    talk.wire.answer(ok);
    assert_eq!(talk.wire.tally().request_unseen, 1);
}

#[test]
fn a_server_may_speak_first() {
    for is_server in [true, false] {
        let mut talk = Talk::new(is_server);
        talk.wire.answer(settings());
        talk.wire.ask([PREFACE, &settings()].concat());
        for stream in [1, 3] {
            let (get, ok) = (talk.get(stream, "/a"), talk.ok(stream));
            talk.wire.ask(get).answer(ok);
        }
        assert_eq!(outcomes(&talk.wire), [("GET /a 2", 200), ("GET /a 2", 200)]);
        assert_eq!(talk.wire.tally().fields_unknown, 0);
    }
}

#[test]
fn interim_answers_and_pushed_ones_are_none() {
    let mut talk = Talk::begun(true);
    let get = talk.get(1, "/a");
    let hints = talk.answer("103");
    let pushed = block(
        &mut talk.server,
        [(":method", "GET"), (":path", "/style")].iter(),
    );
    let promise = [&2u32.to_be_bytes()[..], &pushed].concat();
    let answers = [
        frame(1, END_HEADERS, 1, &hints),
        frame(5, END_HEADERS, 1, &promise),
        talk.ok(1),
        talk.ok(2),
    ];
    talk.wire.ask(get).answer(answers.concat());
    assert_eq!(outcomes(&talk.wire), [("GET /a 2", 200)]);
    assert_eq!(talk.wire.tally().request_unseen, 0);
}

#[test]
fn a_connection_older_than_the_agent_tells_what_it_can() {
    let mut talk = Talk::new(true);
    // Named fields that are only referred to later.
    let early = [("x-early", "1"), ("traceparent", "2")];
    block(&mut talk.client, early.iter());
    talk.wire.flags |= flag::MIDWAY;
    let request = [
        &[0x82][..],
        // Literal path, then a field that was named earlier.
        &[0x04, 2, b'/', b'a', 0x80 | 62],
    ]
    .concat();
    let ok = talk.ok(1);
    let unknown = [0x82, 0x80 | 63];
    let asked = frame(1, END_STREAM | END_HEADERS, 1, &request);
    talk.wire.ask(asked).answer(ok);
    talk.wire
        .ask(frame(1, END_STREAM | END_HEADERS, 3, &unknown));
    let ok = talk.ok(3);
    talk.wire.answer(ok);
    assert_eq!(
        outcomes(&talk.wire),
        [("GET /a 2", 200), ("GET ~unknown 2", 200)]
    );
    assert_eq!(talk.wire.tally().fields_unknown, 1);
}

#[test]
fn what_follows_a_lost_piece_is_counted() {
    for is_server in [true, false] {
        let mut talk = Talk::begun(is_server);
        for number in 0..20 {
            let get = talk.get(2 * number + 1, "/a");
            talk.wire.lose = number == 5;
            talk.wire.ask(get);
            let ok = talk.ok(2 * number + 1);
            talk.wire.answer(ok);
        }
        talk.wire.wait(2000).tick().end(flag::FIN);
        let tally = talk.wire.tally();
        assert_eq!((talk.wire.told.len(), tally.gaps), (19, 1), "{tally:?}");
        assert!(
            outcomes(&talk.wire)
                .iter()
                .filter(|(_, status)| *status == 200)
                .count()
                >= 18
        );
    }
}

#[test]
fn http1_may_become_http2() {
    let mut talk = Talk::new(true);
    talk.wire.protocol = protocol::HTTP1;
    talk.wire.all = true;
    let ask = "GET /up HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n";
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n";
    let settings_and = [switch.as_bytes(), &settings()].concat();
    talk.wire.ask(ask).answer(settings_and);
    talk.wire.ask([PREFACE, &settings()].concat());
    let (get, first, second) = (talk.get(3, "/next"), talk.ok(1), talk.ok(3));
    talk.wire.ask(get).answer(&first).answer(second);
    assert_eq!(
        outcomes(&talk.wire),
        [("GET /up 1.1", 200), ("GET /next 2", 200)]
    );
    let answered = (switch.len() + first.len()) as u64;
    assert_eq!(talk.wire.told[0].bytes, (ask.len() as u64, answered));
}

#[test]
fn floods_are_bounded_and_counted() {
    let mut talk = Talk::begun(true);
    for number in 0..3000 {
        let get = talk.get(2 * number + 1, "/flood");
        talk.wire.ask(get);
    }
    talk.wire.end(flag::FIN);
    let tally = talk.wire.tally();
    assert_eq!(tally.requests + tally.requests_full, 3000);
    assert_eq!(tally.requests, 1024);

    // A header block that never ends.
    let mut talk = Talk::begun(true);
    talk.wire.ask(frame(1, END_STREAM, 1, &[0x82]));
    for _ in 0..1000 {
        talk.wire.ask(frame(9, 0, 1, &[0; 1000]));
    }
    assert!(
        talk.wire.tracker.held() <= 1 << 18,
        "{}",
        talk.wire.tracker.held()
    );
}
