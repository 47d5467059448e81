//! What a request and its answer cost, from the kernel's pieces to a row.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_agent::httpflow::{Budget, Output, Rows, Settings, Tracker};
use weir_ebpf_common::{
    http::{Piece, flag, protocol},
    netflow::udp::UdpOwner,
};
use weir_route::Routes;

/// Exchanges of one iteration, on as many connections as `wrk -c 100` opens.
const EXCHANGES: u32 = 10_000;
const CONNECTIONS: u32 = 100;

const REQUEST: &[u8] =
    b"GET /index.html HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\n\
    Content-Type: text/html\r\nContent-Length: 13\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
    Connection: keep-alive\r\nETag: \"6592f780-d\"\r\nAccept-Ranges: bytes\r\n\r\nHello, world\n";

/// A frame with `:method` and `:scheme` by their numbers, and `:path`, `:authority` and `user-agent` in Huffman code, as
/// `h2load` sends them with every request.
const HTTP2_REQUEST: &[u8] = &[
    0x00, 0x00, 0x2e, 0x01, 0x05, 0x00, 0x00, 0x00, 0x00, 0x82, 0x86, 0x04, 0x8c, 0x60, 0xd5, 0x48,
    0x5f, 0x2b, 0xce, 0x9a, 0x68, 0xff, 0x2a, 0x80, 0x3f, 0x01, 0x8a, 0xa0, 0xe4, 0x1d, 0x13, 0x9d,
    0x09, 0xb8, 0xf0, 0x1e, 0x07, 0x0f, 0x2b, 0x8f, 0x9c, 0x54, 0x1c, 0x72, 0x29, 0x54, 0xd3, 0xa5,
    0x35, 0x89, 0x80, 0xae, 0xd8, 0x97, 0x07,
];
/// A frame with `:status` by its number, and `server`, `date`, `content-type` and `content-length` in Huffman code.
const HTTP2_ANSWER: &[u8] = &[
    0x00, 0x00, 0x34, 0x01, 0x04, 0x00, 0x00, 0x00, 0x00, 0x88, 0x0f, 0x27, 0x89, 0xaa, 0x63, 0x55,
    0xe5, 0x80, 0xae, 0x21, 0x2e, 0x1f, 0x0f, 0x12, 0x96, 0xdf, 0x69, 0x7e, 0x94, 0x0b, 0x6a, 0x69,
    0x3f, 0x75, 0x02, 0xfb, 0xed, 0x28, 0x07, 0xae, 0x04, 0x57, 0x19, 0x0a, 0x98, 0xb4, 0x6f, 0x0f,
    0x10, 0x87, 0x49, 0x7c, 0xa5, 0x89, 0xd3, 0x4d, 0x1f, 0x0f, 0x0d, 0x81, 0x6f,
];
/// The body.
const HTTP2_DATA: &[u8] = &[0, 0, 5, 0, 1, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'];

fn tracker() -> Tracker {
    Tracker::new(Settings {
        max_connections: 65_536,
        timeout: Duration::from_secs(30),
        redactions: Vec::new(),
    })
}

fn piece(number: u32, is_sent: bool, length: usize, protocol: u8) -> Piece {
    let time_ns = 1_000_000 + u64::from(number) * 1000;
    Piece {
        socket: u64::from(number % CONNECTIONS),
        time_ns: time_ns + u64::from(is_sent),
        other_time_ns: if number < CONNECTIONS && !is_sent {
            0
        } else {
            time_ns
        },
        owner: UdpOwner::default(),
        local: [0x0100_007f, 0, 0, 0],
        remote: [0x0200_007f, 0, 0, 0],
        position: 0,
        length: length as u32,
        captured: length as u32,
        other_position: 0,
        netns: 1,
        local_port: 80,
        remote_port: 40_000,
        family: 2,
        flags: if is_sent { flag::SENT } else { 0 },
        protocol,
        reserved: 0,
    }
}

/// Pieces of the exchanges, as the server's host sees them.
fn conversation(request: &[u8], answer: &[u8], protocol: u8) -> Vec<(Piece, Vec<u8>)> {
    let mut pieces = Vec::new();
    for number in 0..EXCHANGES {
        let turn = number / CONNECTIONS;
        let place = |length: usize, turns: u32| turns * length as u32;
        let mut sides = [request.to_vec(), answer.to_vec()];
        if protocol == protocol::HTTP2 {
            // Every exchange has a stream of its own.
            let stream = (2 * turn + 1).to_be_bytes();
            sides[0][5..9].copy_from_slice(&stream);
            sides[1][5..9].copy_from_slice(&stream);
            let body = sides[1].len() - HTTP2_DATA.len();
            sides[1][body + 5..body + 9].copy_from_slice(&stream);
        }
        let [asked, answered] = sides;
        let mut first = piece(number, false, asked.len(), protocol);
        first.position = place(asked.len(), turn);
        first.other_position = place(answered.len(), turn);
        let mut second = piece(number, true, answered.len(), protocol);
        second.position = place(answered.len(), turn);
        second.other_position = place(asked.len(), turn + 1);
        // The agent came later: nothing of it has a preface.
        if protocol == protocol::HTTP2 && turn == 0 {
            first.flags |= flag::MIDWAY;
        }
        pieces.push((first, asked));
        pieces.push((second, answered));
    }
    pieces
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("httpflow");
    group.throughput(Throughput::Elements(u64::from(EXCHANGES)));
    let http1 = conversation(REQUEST, ANSWER, protocol::HTTP1);
    let http2_answer = [HTTP2_ANSWER, HTTP2_DATA].concat();
    let http2 = conversation(HTTP2_REQUEST, &http2_answer, protocol::HTTP2);
    for (name, pieces) in [("http1", &http1), ("http2", &http2)] {
        group.bench_function(format!("{name} tracked"), |bencher| {
            bencher.iter(|| {
                let mut counted = 0;
                let mut tracker = tracker();
                for (piece, bytes) in pieces {
                    tracker.piece(piece, bytes, &mut |out| {
                        if let Output::Exchange(exchange) = out {
                            counted += u32::from(exchange.counts);
                        }
                    });
                }
                assert_eq!(counted, EXCHANGES, "{:?}", tracker.tally());
            });
        });
        group.bench_function(format!("{name} in rows"), |bencher| {
            let budget = Budget {
                paths: 1000,
                routes: 200,
            };
            let mut rows = Rows::new(budget, Routes::default());
            bencher.iter(|| {
                let mut tracker = tracker();
                for (piece, bytes) in pieces {
                    tracker.piece(piece, bytes, &mut |out| {
                        if let Output::Exchange(exchange) = out {
                            rows.add(&exchange);
                        }
                    });
                }
                black_box(rows.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
