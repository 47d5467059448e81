//! Bytes that the kernel might send, and bytes that it would not.

use super::*;
use crate::netlink::message::{NESTED, request};

fn address(to: &mut Vec<u8>, kind: u16, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => push_attribute(to, kind, &v4.octets()),
        IpAddr::V6(v6) => push_attribute(to, kind + 2, &v6.octets()),
    }
}

fn nested(to: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    push_attribute(to, kind | NESTED, &inner);
}

fn body(entry: &Entry) -> Vec<u8> {
    let mut body = vec![2, 0, 0, 0];
    for (kind, tuple) in [
        (CTA_TUPLE_ORIG, entry.original),
        (CTA_TUPLE_REPLY, entry.reply),
    ] {
        nested(&mut body, kind, |tuple_bytes| {
            nested(tuple_bytes, CTA_TUPLE_IP, |ip| {
                address(ip, CTA_IP_V4_SRC, tuple.source.ip());
                address(ip, CTA_IP_V4_DST, tuple.destination.ip());
            });
            nested(tuple_bytes, CTA_TUPLE_PROTO, |ports| {
                push_attribute(ports, CTA_PROTO_NUM, &[tuple.protocol]);
                push_attribute(
                    ports,
                    CTA_PROTO_SRC_PORT,
                    &tuple.source.port().to_be_bytes(),
                );
                let port = tuple.destination.port();
                push_attribute(ports, CTA_PROTO_DST_PORT, &port.to_be_bytes());
            });
        });
    }
    push_attribute(&mut body, 12, &[0; 4]);
    push_attribute(&mut body, CTA_STATUS, &entry.status.to_be_bytes());
    body
}

fn entry(source: &str, destination: &str, real: &str) -> Entry {
    let tuple = |source: &str, destination: &str| Tuple {
        protocol: 6,
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    };
    Entry {
        original: tuple(source, destination),
        reply: tuple(real, source),
        status: 0x18e | DESTINATION_TRANSLATED,
    }
}

#[test]
fn a_connection_is_read_with_both_its_sides() {
    for entry in [
        entry("10.0.0.1:40000", "10.96.0.1:80", "10.0.1.7:8080"),
        entry("[fd00::1]:40000", "[fd96::1]:80", "[fd01::7]:8080"),
    ] {
        assert_eq!(Entry::parse(&body(&entry)), Some(entry));
        assert!(entry.is_translated());
    }
}

#[test]
fn a_connection_without_ports_is_none() {
    let whole = body(&entry("10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3"));
    for length in 0..whole.len() - 4 {
        assert_eq!(Entry::parse(&whole[..length]), None, "{length}");
    }
}

#[test]
fn only_chains_of_the_type_nat_translate() {
    for (kind, text, is) in [
        (NFTA_CHAIN_TYPE, &b"nat\0"[..], true),
        (NFTA_CHAIN_TYPE, b"filter\0", false),
        (NFTA_CHAIN_TYPE, b"nat", false),
        (3, b"nat\0", false),
    ] {
        let mut body = vec![2, 0, 0, 0];
        push_attribute(&mut body, 1, b"table\0");
        push_attribute(&mut body, kind, text);
        assert_eq!(is_nat_chain(&body), is, "{kind} {text:?}");
    }
    assert!(!is_nat_chain(b""));
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    let mut random = fastrand::Rng::with_seed(23);
    let mut seed = request(
        NEW,
        0,
        0,
        &body(&entry("1.2.3.4:5", "6.7.8.9:10", "11.12.13.14:15")),
    );
    seed.extend(request(
        DELETE,
        0,
        0,
        &body(&entry("[::1]:5", "[::2]:10", "[::3]:15")),
    ));
    let mut read = 0;
    for _ in 0..50_000 {
        let mut bytes = seed.clone();
        for _ in 0..random.usize(0..10) {
            let at = random.usize(..bytes.len());
            bytes[at] = if random.bool() { random.u8(..) } else { 0xff };
        }
        bytes.truncate(random.usize(..=bytes.len()));
        parse(&bytes, |_| read += 1);
        let _chain = is_nat_chain(&bytes);
    }
    assert!(read > 1000);
}
