use super::*;
use crate::dnsflow::wire::{A, framed, query};

const SYN: u8 = 2;
const FIN: u8 = 1;
const RST: u8 = 4;

/// One connection, of which one side is captured.
struct Wire {
    streams: Streams,
    read: Vec<Vec<u8>>,
}

impl Wire {
    fn new() -> Self {
        Self {
            streams: Streams::default(),
            read: Vec::new(),
        }
    }

    fn sees_from(&mut self, port: u16, sequence: u32, flags: u8, payload: &[u8]) {
        let piece = Piece {
            netns: 1,
            time_ns: 1,
            src: ([10, 0, 0, 1], port).into(),
            dst: ([10, 0, 0, 2], 53).into(),
            segment: Segment { sequence, flags },
            payload,
            is_cut: false,
        };
        let read = &mut self.read;
        self.streams
            .take(&piece, |message| read.push(message.to_vec()));
    }

    fn sees(&mut self, sequence: u32, flags: u8, payload: &[u8]) {
        self.sees_from(40_000, sequence, flags, payload);
    }
}

fn messages_of(count: u16) -> (Vec<Vec<u8>>, Vec<u8>) {
    let messages: Vec<_> = (0..count)
        .map(|id| query(id, &format!("name-{id}.example"), A))
        .collect();
    let bytes = messages
        .iter()
        .flat_map(|message| framed(message))
        .collect();
    (messages, bytes)
}

#[test]
fn messages_are_whole_in_whatever_segments_they_come() {
    let (messages, bytes) = messages_of(7);
    for size in [1, 2, 3, 17, 50, 1000] {
        let mut wire = Wire::new();
        let mut sequence = u32::MAX - 40;
        wire.sees(sequence, SYN, b"");
        sequence = sequence.wrapping_add(1);
        for part in bytes.chunks(size) {
            wire.sees(sequence, 0, part);
            sequence = sequence.wrapping_add(part.len() as u32);
        }
        assert_eq!(wire.read, messages, "{size}");
        assert_eq!(wire.streams.kept, 0);
    }
}

#[test]
fn segments_in_any_order_and_sent_again_give_each_message_once() {
    let (messages, bytes) = messages_of(9);
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..500 {
        let mut segments = Vec::new();
        for _ in 0..3 {
            // Sent again in other sizes, and overlapping.
            let size = random.usize(15..60);
            segments.extend(
                bytes
                    .chunks(size)
                    .enumerate()
                    .map(|(index, part)| (1 + (index * size) as u32, part.to_vec())),
            );
        }
        random.shuffle(&mut segments);
        segments.truncate(MOST_AHEAD);
        let missing = bytes.chunks(30).enumerate();
        segments.extend(missing.map(|(index, part)| (1 + (index * 30) as u32, part.to_vec())));
        let mut wire = Wire::new();
        wire.sees(0, SYN, b"");
        for (sequence, part) in segments {
            wire.sees(sequence, 0, &part);
        }
        assert_eq!(wire.read, messages);
        assert_eq!(wire.streams.tally, Tally::default());
    }
}

#[test]
fn the_longest_message_is_whole() {
    let message = vec![7; usize::from(u16::MAX)];
    let mut wire = Wire::new();
    wire.sees(0, SYN, b"");
    for (index, part) in framed(&message).chunks(1400).enumerate() {
        wire.sees(1 + (index * 1400) as u32, 0, part);
    }
    assert_eq!(wire.read, [message]);
}

#[test]
fn after_a_gap_the_next_whole_message_is_read_and_the_gap_counted() {
    let (messages, bytes) = messages_of(1);
    let mut wire = Wire::new();
    wire.sees(0, SYN, b"");
    for number in 0..40_u32 {
        // The bytes from 1 to 99 were not captured.
        wire.sees(100 + number * bytes.len() as u32, 0, &bytes);
    }
    assert_eq!(wire.streams.tally.gaps, 1);
    assert!(wire.read.len() >= 7 && wire.read.iter().all(|read| *read == messages[0]));
    assert_eq!(wire.streams.kept, 0);
}

#[test]
fn a_connection_older_than_the_agent_is_joined_at_a_whole_message() {
    let (messages, bytes) = messages_of(2);
    let mut wire = Wire::new();
    wire.sees(500, 0, &bytes[5..]);
    wire.sees(1000, 0, &bytes);
    assert_eq!(wire.read, messages);
    assert_eq!(wire.streams.tally.gaps, 1);
}

#[test]
fn what_is_no_dns_is_given_up_and_counted() {
    let mut wire = Wire::new();
    wire.sees(0, SYN, b"");
    wire.sees(1, 0, &[0, 3, 1, 2, 3]);
    wire.sees(6, 0, b"GET / HTTP/1.1\r\n");
    assert!(wire.read.is_empty());
    assert_eq!((wire.streams.tally.gaps, wire.streams.kept), (2, 0));
}

#[test]
fn what_is_kept_of_connections_is_bounded_and_goes_with_them() {
    let mut wire = Wire::new();
    for port in 1..20_000 {
        wire.sees_from(port, 0, SYN, b"");
        wire.sees_from(port, 1, 0, &[&[0xff, 0xff][..], &vec![1; 4000]].concat());
    }
    assert!(wire.streams.connections.len() <= MOST_CONNECTIONS);
    assert!(wire.streams.kept <= MOST_BYTES);
    assert!(wire.streams.tally.full > 0);
    for port in 1..20_000 {
        wire.sees_from(port, 5000, if port % 2 == 0 { RST } else { FIN }, b"");
    }
    wire.streams.sweep(IDLE + 2);
    assert!(wire.streams.connections.is_empty());
    assert_eq!(wire.streams.kept, 0);
}
