use weir_ebpf_common::http::{flag, protocol};

use crate::httpflow::wire::{From, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn what_is_read_above_tls_is_apart_from_its_packets() {
    let mut wire = Wire::new(true);
    wire.ask(GET);
    wire.flags = flag::TLS;
    wire.ask(GET).answer(OK);
    assert_eq!(wire.tracker.connections(), 2);
    assert_eq!(wire.one().status, 200);
}

#[test]
fn a_name_in_two_pieces_is_told() {
    let name = b"\0\0\0\x0e\0\x0c\0\0\x09localhost";
    let mut hello = vec![22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3];
    hello.extend([0; 32]);
    hello.extend([0, 0, 2, 0x13, 1, 1, 0, 0, name.len() as u8]);
    hello.extend(name);
    hello[4] = (hello.len() - 5) as u8;
    hello[8] = (hello.len() - 9) as u8;
    let mut wire = Wire::new(false);
    wire.protocol = protocol::TLS_HELLO;
    for part in hello.chunks(40) {
        let position = wire.pass(From::Client, part.len());
        wire.hand_on(From::Client, position, (part, part.len()), 0);
    }
    assert_eq!(wire.names, ["localhost"]);
    assert_eq!(wire.tracker.connections(), 0);
}
