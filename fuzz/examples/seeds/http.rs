//! Pieces of HTTP streams.

use crate::seed;

const RECEIVED: u8 = 0;
const SENT: u8 = 1;
const EARLY: u8 = 4;
const FLAGS: u8 = 0x10;

/// A piece behind what it is.
fn piece(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind][..], &(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// The end of the connection: `FIN`.
fn end() -> Vec<u8> {
    vec![FLAGS, 2, 0, 0]
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let head = [0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
    [&head[..], payload].concat()
}

pub(crate) fn http1() {
    let get = b"GET /a/b?c HTTP/1.1\r\nHost: a.b\r\n\r\n";
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let post = b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 304 No\r\n\r\n";
    let upgrade = b"GET /w HTTP/1.1\r\nUpgrade: h2c\r\n\r\n";
    let switch = b"HTTP/1.1 101 S\r\nUpgrade: h2c\r\n\r\n";
    let connect = b"CONNECT a:1 HTTP/1.1\r\n\r\n";
    let established = b"HTTP/1.1 200 E\r\n\r\n";
    let talks: [(&str, &[Vec<u8>]); 6] = [
        ("get", &[piece(RECEIVED, get), piece(SENT, ok), end()]),
        (
            "post",
            &[piece(RECEIVED, post), piece(SENT, interim), end()],
        ),
        (
            "pipelined",
            &[piece(RECEIVED, &get.repeat(3)), piece(SENT, &ok.repeat(3))],
        ),
        (
            "early",
            &[
                [piece(RECEIVED | EARLY, &get[9..]), vec![9]].concat(),
                piece(RECEIVED, &get[..9]),
                piece(SENT, ok),
            ],
        ),
        (
            "upgrade",
            &[piece(SENT, upgrade), piece(RECEIVED, switch), end()],
        ),
        (
            "connect",
            &[
                piece(SENT, connect),
                piece(RECEIVED, established),
                piece(SENT, get),
            ],
        ),
    ];
    for (name, pieces) in talks {
        seed("http1", name, &[&[0], &pieces.concat()]);
    }
}

pub(crate) fn http2() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = frame(4, 0, 0, &[]);
    // `:method GET`, `:path /a` put into the table, `:authority` coded by Huffman.
    let request = b"\x82\x44\x02/a\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
    let first = [&preface[..], &settings, &frame(1, 5, 1, request)].concat();
    let answer = [
        settings.clone(),
        frame(1, 4, 1, &[0x88]),
        frame(0, 1, 1, b"hi"),
    ]
    .concat();
    let again = frame(1, 5, 3, &[0x82, 0xbf, 0xbe]);
    let trailer = [
        frame(1, 4, 3, &[0x88]),
        frame(1, 5, 3, b"\x40\x0bgrpc-status\x010"),
    ];
    let parts = [
        frame(1, 1, 5, &request[..3]),
        frame(9, 4, 5, &request[3..]),
        frame(3, 0, 5, &[0, 0, 0, 8]),
        frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]),
    ];
    let begun = [piece(RECEIVED, &first), piece(SENT, &answer)].concat();
    let more = [
        piece(RECEIVED, &again),
        piece(SENT, &trailer.concat()),
        end(),
    ]
    .concat();
    seed("http2", "request", &[&[0], &begun]);
    seed("http2", "again", &[&[0], &begun, &more]);
    seed(
        "http2",
        "parts",
        &[&[0], &begun, &piece(RECEIVED, &parts.concat()), &end()],
    );
    seed(
        "http2",
        "midway",
        &[&[0, FLAGS, 32, 0, 19], &again, &trailer.concat()],
    );
}
