//! DNS messages, alone and in packets.

use crate::seed;

fn name(text: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = text
        .split('.')
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
        .collect();
    bytes.push(0);
    bytes
}

fn message(flags: [u8; 2], counts: [u8; 4], rest: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0, 7, flags[0], flags[1]];
    bytes.extend(counts.into_iter().flat_map(|count| [0, count]));
    bytes.extend(name("www.example.com"));
    bytes.extend([0, 1, 0, 1]);
    bytes.extend(rest.concat());
    bytes
}

fn record(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8];
    bytes.extend(data);
    bytes
}

/// UDP over IPv4.
fn packet(payload: &[u8]) -> Vec<u8> {
    let length = |plus: u16| (payload.len() as u16 + plus).to_be_bytes();
    let mut bytes = vec![0x45, 0];
    bytes.extend(length(28));
    bytes.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    bytes.extend([156, 64, 0, 53]);
    bytes.extend(length(8));
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

pub(crate) fn dns() {
    let query = message([1, 0], [1, 0, 0, 0], &[]);
    let alias = record(5, &name("edge.example.net"));
    let address = record(1, &[192, 0, 2, 1]);
    let answer = message([0x81, 0x80], [1, 2, 0, 0], &[&alias, &address]);
    let edns = [0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0];
    let refused = message([0x81, 0x85], [1, 0, 0, 1], &[&edns]);
    for (name, bytes) in [
        ("query", &query),
        ("answer", &answer),
        ("refused", &refused),
    ] {
        seed("dns", name, &[bytes]);
        seed("dns", &format!("{name}-packet"), &[&packet(bytes)]);
    }
    // Behind IPv6 with hop-by-hop options and a fragment header, over TCP.
    let mut over_tcp = vec![0x60, 0, 0, 0, 0, 36 + query.len() as u8, 0, 64];
    over_tcp.extend([0xfd; 32]);
    over_tcp.extend([44, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 1, 0, 0, 0, 9]);
    over_tcp.extend([
        156, 64, 0, 53, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x18, 0, 0, 0, 0, 0, 0,
    ]);
    over_tcp.extend(&query);
    seed("dns", "tcp6-packet", &[&over_tcp]);
}
