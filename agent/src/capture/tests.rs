use std::{net::SocketAddr, os::unix::net::UnixDatagram};

use socket2::SockRef;

use super::*;
use crate::capture::tap::{Frame, frames};

/// UDP from port 40000 to `port`.
pub(super) fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [40_000_u16.to_be_bytes(), port.to_be_bytes()].concat();
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

/// TCP from port 40000 to `port`, with 12 bytes of options.
pub(super) fn tcp(port: u16, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [40_000_u16.to_be_bytes(), port.to_be_bytes()].concat();
    bytes.extend(sequence.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 8 << 4, flags, 0, 0, 0, 0, 0, 0]);
    bytes.extend([1; 12]);
    bytes.extend(payload);
    bytes
}

/// From 10.0.0.1 to 10.0.0.2, with `options` words of options.
pub(super) fn ipv4(kind: u8, options: u8, fragment: u16, rest: &[u8]) -> Vec<u8> {
    let header = 20 + usize::from(options) * 4;
    let mut bytes = vec![0x45 + options, 0];
    bytes.extend(((header + rest.len()) as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([64, kind, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    bytes.resize(header, 1);
    bytes.extend(rest);
    bytes
}

/// From fd00::1 to fd00::2, with extension headers: kind, and bytes but for the next kind.
pub(super) fn ipv6(extensions: &[(u8, &[u8])], kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut after = Vec::new();
    for (index, (_, bytes)) in extensions.iter().enumerate() {
        after.push(extensions.get(index + 1).map_or(kind, |(next, _)| *next));
        after.extend(*bytes);
    }
    after.extend(rest);
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((after.len() as u16).to_be_bytes());
    bytes.extend([extensions.first().map_or(kind, |(first, _)| *first), 64]);
    for host in [1, 2] {
        bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    bytes.extend(after);
    bytes
}

pub(super) const OPTIONS_8: &[u8] = &[0; 7];
pub(super) const OPTIONS_24: &[u8] = &[
    2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];
pub(super) const FIRST_FRAGMENT: &[u8] = &[0, 0, 1, 0, 0, 0, 9];
pub(super) const LATER_FRAGMENT: &[u8] = &[0, 0, 8, 0, 0, 0, 9];
/// 24 bytes: 4 words of 4 bytes, and 2.
pub(super) const AUTHENTICATION: &[u8] = &[
    4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// The kernel runs the filter: datagrams that it lets through arrive.
struct Filtered(UnixDatagram, UnixDatagram);

impl Filtered {
    fn by(ports: &[u16]) -> Self {
        let (from, to) = UnixDatagram::pair().unwrap();
        SockRef::from(&to)
            .attach_filter(&filter::of_ports(ports))
            .unwrap();
        to.set_nonblocking(true).unwrap();
        Self(from, to)
    }

    fn passes(&self, packet: &[u8]) -> bool {
        self.0.send(packet).unwrap();
        let mut buffer = vec![0; 70_000];
        match self.1.recv(&mut buffer) {
            Ok(length) => {
                assert_eq!(length, packet.len(), "whole");
                true
            }
            Err(_) => false,
        }
    }
}

#[test]
fn the_filter_lets_through_what_the_parser_reads_of_these_ports_and_nothing_else() {
    let filtered = Filtered::by(&[53, 5353]);
    let (query, other) = (udp(53, b"payload"), udp(54, b"payload"));
    let passing = [
        ipv4(17, 0, 0, &query),
        ipv4(17, 0, 0, &udp(5353, b"")),
        ipv4(17, 5, 0, &query),
        ipv4(17, 0, 0x2000, &query),
        ipv4(17, 0, 0x4000, &query),
        ipv4(6, 0, 0, &tcp(53, 1, 2, b"")),
        ipv6(&[], 17, &query),
        ipv6(&[], 6, &tcp(53, 1, 0x18, b"x")),
        ipv6(&[(0, OPTIONS_8)], 17, &query),
        ipv6(&[(60, OPTIONS_24), (43, OPTIONS_8)], 17, &query),
        ipv6(&[(44, FIRST_FRAGMENT)], 17, &query),
        ipv6(&[(51, AUTHENTICATION)], 17, &query),
        ipv6(
            &[
                (0, OPTIONS_8),
                (43, OPTIONS_24),
                (44, FIRST_FRAGMENT),
                (60, OPTIONS_8),
            ],
            6,
            &tcp(53, 1, 2, b""),
        ),
    ];
    for packet in passing {
        assert!(filtered.passes(&packet), "{packet:?}");
        let read = packet::parse(&packet).unwrap();
        assert!([53, 5353].contains(&read.dst.port()), "{read:?}");
    }
    let stopped = [
        ipv4(17, 0, 0, &other),
        ipv4(17, 0, 1, &query),
        ipv4(1, 0, 0, &query),
        ipv4(132, 0, 0, &query),
        ipv6(&[], 17, &other),
        ipv6(&[], 58, &query),
        ipv6(&[(44, LATER_FRAGMENT)], 17, &query),
        ipv6(&[(50, OPTIONS_8)], 17, &query),
        ipv6(&[(0, OPTIONS_8); 5], 17, &query),
        ipv4(17, 0, 0, &[0]),
        vec![0x45],
        vec![0x20; 60],
    ];
    for packet in stopped {
        assert!(!filtered.passes(&packet), "{packet:?}");
    }
    let mut answer = ipv4(17, 0, 0, &other);
    answer[20..22].copy_from_slice(&53_u16.to_be_bytes());
    assert!(filtered.passes(&answer), "from the port");
}

#[test]
fn the_kernel_takes_the_filter_of_as_many_ports_as_may_be_configured() {
    let ports: Vec<u16> = (1000..1016).collect();
    let filtered = Filtered::by(&ports);
    for port in &ports {
        assert!(filtered.passes(&ipv4(17, 0, 0, &udp(*port, b""))), "{port}");
        let deep = ipv6(&[(0, OPTIONS_8); 4], 17, &udp(*port, b""));
        assert!(filtered.passes(&deep), "{port}");
    }
    assert!(!filtered.passes(&ipv4(17, 0, 0, &udp(1016, b""))));
}

/// A block of a ring with one packet for each of `packets`, as the kernel lays it out.
fn block(packets: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0; 48];
    bytes[12..16].copy_from_slice(&(packets.len() as u32).to_ne_bytes());
    bytes[16..20].copy_from_slice(&48_u32.to_ne_bytes());
    for packet in packets {
        let mut frame = vec![0; 80];
        let length = packet.len() as u32;
        frame[0..4].copy_from_slice(&(80 + length).to_ne_bytes());
        frame[4..8].copy_from_slice(&7_u32.to_ne_bytes());
        frame[8..12].copy_from_slice(&9_u32.to_ne_bytes());
        frame[12..16].copy_from_slice(&length.to_ne_bytes());
        frame[26..28].copy_from_slice(&80_u16.to_ne_bytes());
        frame[52..56].copy_from_slice(&3_u32.to_ne_bytes());
        frame[56..58].copy_from_slice(&772_u16.to_ne_bytes());
        frame[58] = 4;
        bytes.extend(frame);
        bytes.extend(*packet);
    }
    bytes
}

#[test]
fn a_block_of_the_ring_gives_its_packets_in_order() {
    let mut read = Vec::new();
    frames(&block(&[b"one", b"", b"three"]), |frame| {
        assert_eq!((frame.time_ns, frame.device), (7_000_000_009, 3));
        assert_eq!((frame.link, frame.kind), (772, 4));
        read.push(frame.bytes.to_vec());
    });
    assert_eq!(read, [&b"one"[..], b"", b"three"]);
}

#[test]
fn a_block_of_any_bytes_is_read_without_a_panic_and_comes_to_an_end() {
    let mut random = fastrand::Rng::with_seed(11);
    let seed = block(&[b"one", b"two", b"three"]);
    for _ in 0..20_000 {
        let mut bytes = seed.clone();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        // No more than a real block can hold.
        bytes[14..16].fill(0);
        frames(&bytes, |frame| assert!(frame.bytes.len() <= bytes.len()));
    }
}

/// One namespace with the address 10.0.0.1 on a bridge's host, and what counts of the packets that cross it.
struct Host {
    addresses: Addresses,
    at_devices: Seen,
    passing: Seen,
    tally: Tally,
}

const LOOPBACK: (u32, u16) = (1, libc::ARPHRD_LOOPBACK);
const WIRE: (u32, u16) = (2, libc::ARPHRD_ETHER);
const BRIDGE: (u32, u16) = (3, libc::ARPHRD_ETHER);
const INCOMING: u8 = libc::PACKET_HOST;
const OUTGOING: u8 = libc::PACKET_OUTGOING;

impl Host {
    fn new() -> Self {
        let mut addresses = Addresses::open(&mut netlink::buffer()).unwrap();
        addresses.add_for_test([10, 0, 0, 1].into());
        Self {
            addresses,
            at_devices: Seen::default(),
            passing: Seen::default(),
            tally: Tally::default(),
        }
    }

    /// Whether a packet that is seen at `device` counts: from here, to here, translated.
    fn sees(&mut self, bytes: &[u8], (device, link): (u32, u16), kind: u8) -> Option<[bool; 3]> {
        let mut sight = Sight {
            netns: 1,
            addresses: &self.addresses,
            at_devices: &mut self.at_devices,
            passing: &mut self.passing,
            tally: &mut self.tally,
        };
        let frame = Frame {
            bytes,
            time_ns: 1_000,
            device,
            kind,
            link,
        };
        let packet = sight.packet(frame)?;
        Some([packet.from_here, packet.to_here, packet.is_translated])
    }
}

fn between(src: [u8; 4], dst: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = ipv4(17, 0, 0, &udp(53, payload));
    bytes[12..16].copy_from_slice(&src);
    bytes[16..20].copy_from_slice(&dst);
    bytes
}

#[test]
fn a_packet_at_a_bridge_and_its_port_counts_once_and_a_second_like_it_again() {
    let mut host = Host::new();
    let query = between([10, 0, 0, 1], [10, 0, 0, 9], b"query");
    for _ in 0..2 {
        let ours = Some([true, false, false]);
        assert_eq!(host.sees(&query, BRIDGE, OUTGOING), ours);
        assert_eq!(host.sees(&query, WIRE, OUTGOING), None);
    }
    let answer = between([10, 0, 0, 9], [10, 0, 0, 1], b"answer");
    assert_eq!(
        host.sees(&answer, WIRE, INCOMING),
        Some([false, true, false])
    );
    assert_eq!(host.sees(&answer, BRIDGE, INCOMING), None);
    assert_eq!(host.tally.repeated, 3);
}

#[test]
fn on_loopback_both_ends_are_here() {
    let query = between([127, 0, 0, 1], [127, 0, 0, 53], b"query");
    let seen = Host::new().sees(&query, LOOPBACK, INCOMING);
    assert_eq!(seen, Some([true, true, false]));
}

#[test]
fn what_only_passes_does_not_count_and_is_recognised_under_the_hosts_address() {
    let mut host = Host::new();
    let pod = between([10, 1, 0, 2], [8, 8, 8, 8], b"query");
    let masqueraded = between([10, 0, 0, 1], [8, 8, 8, 8], b"query");
    let own = between([10, 0, 0, 1], [8, 8, 8, 8], b"own query");
    assert_eq!(host.sees(&pod, BRIDGE, INCOMING), None);
    assert_eq!(
        host.sees(&masqueraded, WIRE, OUTGOING),
        Some([true, false, true])
    );
    assert_eq!(host.sees(&own, WIRE, OUTGOING), Some([true, false, false]));
    assert_eq!(host.tally.forwarded, 1);
}

#[test]
fn what_is_no_packet_is_counted() {
    let mut host = Host::new();
    for bytes in [&b""[..], b"x", &[0x45; 10]] {
        assert_eq!(host.sees(bytes, WIRE, INCOMING), None);
    }
    assert_eq!(host.tally.unreadable, 3);
}

#[test]
fn ports_and_addresses_are_those_of_the_packet() {
    let packet = ipv6(&[(0, OPTIONS_8)], 17, &udp(53, b"abc"));
    let read = packet::parse(&packet).unwrap();
    let expected: [SocketAddr; 2] = ["[fd00::1]:40000", "[fd00::2]:53"].map(|a| a.parse().unwrap());
    assert_eq!([read.src, read.dst], expected);
    assert_eq!((read.payload, read.is_cut), (&b"abc"[..], false));
}

/// Sends numbered datagrams from `port` to itself on loopback until told to stop, and returns how many.
fn send_until(stop: &std::sync::atomic::AtomicBool, socket: &std::net::UdpSocket) -> u32 {
    let to = socket.local_addr().unwrap();
    let mut sent = 0_u32;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        socket.send_to(&sent.to_be_bytes(), to).unwrap();
        sent += 1;
        if sent.is_multiple_of(50) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    sent
}

#[test]
fn each_packet_is_read_once_and_in_order_while_queue_and_ring_change_places() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let settings = Settings {
        filter: filter::of_ports(&[socket.local_addr().unwrap().port()]),
        ring: 4 << 20,
        queue: 4 << 20,
        namespaces: 1,
    };
    let mut taps = Taps::new(settings.open(Wish::Queue).unwrap());
    let (mut buffer, mut read) = (vec![0; LONGEST], Vec::new());
    let mut drain = |taps: &mut Taps| {
        taps.drain(&mut buffer, |frame| {
            let datagram = packet::parse(frame.bytes).unwrap();
            read.push(u32::from_be_bytes(datagram.payload.try_into().unwrap()));
        })
    };
    let stop = std::sync::atomic::AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send_until(&stop, &socket));
        for wish in [Wish::Ring, Wish::Queue, Wish::Ring, Wish::Queue] {
            taps.replace(settings.open(wish).unwrap());
            let until = std::time::Instant::now() + Duration::from_millis(200);
            while std::time::Instant::now() < until {
                assert_eq!(drain(&mut taps), 0, "lost");
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(taps.is_ring(), wish == Wish::Ring);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        sending.join().unwrap()
    });
    assert_eq!(drain(&mut taps) + taps.lost(), 0);
    assert!(sent > 1000, "{sent}");
    assert!(read.iter().copied().eq(0..sent), "{} of {sent}", read.len());
}

#[test]
fn a_ring_is_wished_for_where_packets_are_many_and_a_queue_where_they_stay_few() {
    let settings = Settings {
        filter: filter::of_ports(&[1]),
        ring: 1 << 20,
        queue: 1 << 20,
        namespaces: 1,
    };
    let mut queue = Taps::new(settings.open(Wish::Queue).unwrap());
    assert_eq!(queue.look_after(1999), None);
    assert_eq!(queue.look_after(2000), Some(Wish::Ring));
    let mut ring = Taps::new(settings.open(Wish::Ring).unwrap());
    for _ in 0..59 {
        assert_eq!(ring.look_after(200), None);
    }
    assert_eq!(ring.look_after(201), None);
    for _ in 0..59 {
        assert_eq!(ring.look_after(0), None);
    }
    assert_eq!(ring.look_after(0), Some(Wish::Queue));
}
