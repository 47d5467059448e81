use super::*;
use crate::capture::tests::{FIRST_FRAGMENT, ipv4, ipv6, tcp, udp};

#[test]
fn a_segment_has_its_sequence_number_flags_and_payload_behind_its_options() {
    let packet = ipv4(6, 0, 0, &tcp(53, 77, 0x12, b"abc"));
    let read = parse(&packet).unwrap();
    let segment = read.tcp.unwrap();
    assert_eq!(segment.sequence, 77);
    assert!(segment.is_syn() && !segment.is_fin() && !segment.is_rst());
    assert_eq!(read.payload, b"abc");
}

#[test]
fn padding_of_the_link_is_no_payload() {
    let mut packet = ipv4(17, 0, 0, &udp(53, b"abc"));
    packet.extend([0; 20]);
    assert_eq!(parse(&packet).unwrap().payload, b"abc");
    let mut packet = ipv6(&[], 6, &tcp(53, 1, 0, b"abc"));
    packet.extend([0; 20]);
    assert_eq!(parse(&packet).unwrap().payload, b"abc");
}

#[test]
fn what_is_missing_is_told() {
    let whole = ipv4(17, 0, 0, &udp(53, b"abcdef"));
    let read = parse(&whole[..whole.len() - 2]).unwrap();
    assert_eq!((read.payload, read.is_cut), (&b"abcd"[..], true));
    assert!(parse(&ipv4(17, 0, 0x2000, &udp(53, b"a"))).unwrap().is_cut);
    let first = ipv6(&[(44, FIRST_FRAGMENT)], 17, &udp(53, b"a"));
    assert!(parse(&first).unwrap().is_cut);
}

#[test]
fn a_mapped_address_is_the_one_it_stands_for() {
    let mut packet = ipv6(&[], 17, &udp(53, b""));
    packet[8..24].copy_from_slice(&Ipv4Addr::new(1, 2, 3, 4).to_ipv6_mapped().octets());
    assert_eq!(parse(&packet).unwrap().src.ip(), IpAddr::from([1, 2, 3, 4]));
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    let mut random = fastrand::Rng::with_seed(11);
    let seeds = [
        ipv4(6, 3, 0, &tcp(53, 1, 2, b"abc")),
        ipv6(&[(0, &[0; 7]), (44, FIRST_FRAGMENT)], 17, &udp(53, b"abc")),
    ];
    for round in 0..40_000 {
        let mut bytes = seeds[round % 2].clone();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(..=bytes.len()));
        if let Some(read) = parse(&bytes) {
            assert!(read.payload.len() <= bytes.len());
        }
    }
}
