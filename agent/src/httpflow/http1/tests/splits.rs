//! However a conversation is cut into segments, and however those overtake each other, the same is told of it.

use fastrand::Rng;
use weir_ebpf_common::http::flag;

use crate::httpflow::wire::{From, Wire};

/// What one end says before it waits for the other: messages, with how long their heads are.
struct Turn {
    from: From,
    messages: Vec<(Vec<u8>, usize)>,
}

struct Script {
    turns: Vec<Turn>,
    expected: Vec<(String, u16, (u64, u64))>,
}

fn body(rng: &mut Rng) -> (String, Vec<u8>) {
    let length = match rng.u8(..4) {
        0 => 0,
        1 => rng.usize(..30),
        2 => rng.usize(..1500),
        _ => rng.usize(..40_000),
    };
    // Bodies may look like anything.
    let text = b"GET / HTTP/1.1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let start = rng.usize(..text.len());
    let content: Vec<u8> = text
        .iter()
        .copied()
        .cycle()
        .skip(start)
        .take(length)
        .collect();
    (format!("Content-Length: {length}\r\n"), content)
}

fn chunked(rng: &mut Rng, content: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in content.chunks(rng.usize(1..5000)) {
        body.extend(format!("{:x}\r\n", chunk.len()).bytes());
        body.extend(chunk);
        body.extend(b"\r\n");
    }
    body.extend(b"0\r\n\r\n");
    body
}

fn message(head: String, body: Vec<u8>) -> (Vec<u8>, usize) {
    let length = head.len();
    ([head.into_bytes(), body].concat(), length)
}

/// With `chunks`, requests may have bodies in chunks, whose ends are not always seen.
fn script(rng: &mut Rng, chunks: bool) -> Script {
    let mut script = Script {
        turns: Vec::new(),
        expected: Vec::new(),
    };
    for _ in 0..rng.usize(1..12) {
        // Those who do not wait send little: what lies behind the beginning of a segment is not always handed on.
        let at_once = if rng.u8(..5) == 0 { rng.usize(2..5) } else { 1 };
        let (mut asks, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..at_once {
            let number = script.expected.len();
            let (method, version) = (
                ["GET", "POST", "HEAD", "DELETE"][rng.usize(..4)],
                ["1.1", "1.1", "1.0"][rng.usize(..3)],
            );
            let (mut length, mut content) = body(rng);
            if at_once > 1 || method != "POST" {
                (length, content) = (String::new(), Vec::new());
            } else if chunks && rng.bool() {
                (length, content) = (
                    "Transfer-Encoding: chunked\r\n".to_owned(),
                    chunked(rng, &content),
                );
            }
            let head = format!("{method} /{number}?q HTTP/{version}\r\nHost: a\r\n{length}\r\n");
            let ask = message(head, content);
            let status = [200, 201, 404, 500, 304, 204][rng.usize(..6)];
            let (mut length, mut content) = body(rng);
            if method == "HEAD" || status == 304 || status == 204 {
                content.clear();
            } else if at_once > 1 {
                (length, content) = ("Content-Length: 5\r\n".to_owned(), b"hello".to_vec());
            } else if rng.bool() {
                (length, content) = (
                    "Transfer-Encoding: chunked\r\n".to_owned(),
                    chunked(rng, &content),
                );
            }
            let head = format!("HTTP/1.1 {status} Some reason\r\nServer: x\r\n{length}\r\n");
            let answer = message(head, content);
            script.expected.push((
                format!("{method} /{number} {version}"),
                status,
                (ask.0.len() as u64, answer.0.len() as u64),
            ));
            asks.push(ask);
            answers.push(answer);
        }
        for (from, messages) in [(From::Client, asks), (From::Server, answers)] {
            script.turns.push(Turn { from, messages });
        }
    }
    script
}

/// Where a turn is cut. No head is cut into more pieces than the kernel hands on of it.
fn cuts(rng: &mut Rng, turn: &Turn) -> Vec<usize> {
    let mut cuts = Vec::new();
    let mut at = 0;
    let most_in_head = if turn.messages.len() > 1 { 1 } else { 3 };
    for (bytes, head) in &turn.messages {
        for _ in 0..rng.usize(..=most_in_head) {
            cuts.push(at + rng.usize(1..*head));
        }
        let mut place = at + head;
        while place < at + bytes.len() {
            // A body is often sent with its head.
            place += rng.usize(1..3000);
            cuts.push(place.min(at + bytes.len()));
        }
        at += bytes.len();
        if rng.bool() {
            cuts.push(at);
        }
    }
    cuts.push(at);
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

fn play(rng: &mut Rng, script: &Script, wire: &mut Wire) {
    for turn in &script.turns {
        let bytes: Vec<u8> = turn
            .messages
            .iter()
            .flat_map(|(bytes, _)| bytes.clone())
            .collect();
        let mut start = 0;
        for end in cuts(rng, turn) {
            wire.segment(turn.from, &bytes[start..end]);
            start = end;
        }
        if rng.u8(..10) == 0 {
            wire.tick();
        }
    }
    wire.end(flag::FIN);
}

#[test]
fn the_same_is_told_however_a_conversation_is_cut() {
    for seed in 0..400 {
        let mut rng = Rng::with_seed(seed);
        let script = script(&mut rng, true);
        for is_server in [true, false] {
            let mut wire = Wire::new(is_server);
            play(&mut rng, &script, &mut wire);
            assert_eq!(wire.sums(), script.expected, "seed {seed}, {is_server}");
            assert!(
                wire.told.iter().all(|told| told.finished == 1),
                "seed {seed}"
            );
        }
    }
}

#[test]
fn the_same_is_told_where_everything_is_handed_on() {
    for seed in 0..400 {
        let mut rng = Rng::with_seed(seed);
        let script = script(&mut rng, true);
        let mut wire = Wire::new(true);
        wire.all = true;
        wire.flags = flag::TLS;
        play(&mut rng, &script, &mut wire);
        assert_eq!(wire.sums(), script.expected, "seed {seed}");
    }
}

#[test]
fn neighbours_that_change_places_change_nothing() {
    for seed in 0..400 {
        let mut rng = Rng::with_seed(seed);
        let script = script(&mut rng, false);
        let is_server = rng.bool();
        let mut wire = Wire::new(is_server);
        wire.shuffles = true;
        play(&mut rng, &script, &mut wire);
        assert_eq!(wire.sums(), script.expected, "seed {seed}");
    }
}
