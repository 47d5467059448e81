//! Points of requests, and requests of Points: nothing is lost on the way there and back.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
};

use fastrand::Rng;
use weir_point::{
    Point, Text,
    otlp::{Encoder, OtlpBatch, Signal},
};

use crate::{
    check::{SIGNALS, check, encoded, spoil},
    judge::as_decoded,
};

/// As if a script had changed each Point, and had changed its mind.
fn touched(mut point: Point) -> Point {
    assert!(!point.is_edited());
    point
        .tags
        .set(Text::new_static("\u{10ffff}"), Text::default());
    point.tags.remove("\u{10ffff}");
    assert!(point.is_edited());
    point
}

fn decoded(batch: &OtlpBatch) -> Vec<Point> {
    batch.points().map(|point| point.to_point()).collect()
}

fn encode<'p>(batch: &OtlpBatch, points: impl IntoIterator<Item = &'p Point>) -> OtlpBatch {
    OtlpBatch::encode(batch.signal(), points).expect("Points of OTLP")
}

/// What holds for every request that has any item.
pub(crate) fn assert_lossless(batch: &OtlpBatch) {
    let points = decoded(batch);
    assert_eq!(points.len(), batch.items());
    if points.is_empty() {
        return;
    }
    let same = encode(batch, &points);
    assert_eq!(same.bytes(), batch.bytes());
    assert_eq!(same.bytes().as_ptr(), batch.bytes().as_ptr(), "shared");

    let touched: Vec<Point> = points.into_iter().map(touched).collect();
    let rebuilt = encode(batch, &touched);
    assert_eq!(rebuilt.bytes(), batch.bytes());
    assert_eq!(rebuilt.items(), batch.items());

    let mut encoder = Encoder::new(batch.signal());
    for (number, (point, touched)) in batch.points().zip(&touched).enumerate() {
        match number % 2 {
            0 => encoder.keep(&point),
            _ => encoder.push(touched).expect("a Point of OTLP"),
        }
    }
    assert_eq!(encoder.finish().bytes(), batch.bytes());
}

#[test]
fn what_was_read_is_written_back_to_the_byte() {
    let mut rng = Rng::with_seed(11);
    for _ in 0..2000 {
        for signal in SIGNALS {
            let bytes = encoded(signal, &mut rng);
            assert_lossless(&check(signal, &bytes).expect("a request"));
        }
    }
}

/// Largest requests that the emitters of the SDK stories have sent, as they were on the wire.
#[test]
fn what_real_sdks_send_is_written_back_to_the_byte() {
    for sdk in ["python", "node", "go", "java"] {
        for signal in SIGNALS {
            let name = format!("{sdk}-{}.bin", signal.name());
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/otlp/samples/");
            let bytes = fs::read(format!("{folder}{name}")).expect("a sample");
            let batch = check(signal, &bytes).expect("a request");
            assert!(batch.items() > 0, "{name}");
            assert_lossless(&batch);
        }
    }
}

/// The same fields in another order, which means the same: those with one number keep theirs. So deep in messages.
fn mixed(bytes: &[u8], depth: usize, rng: &mut Rng) -> Vec<u8> {
    use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
    let mut fields: BTreeMap<u32, VecDeque<Vec<u8>>> = BTreeMap::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let whole = rest;
        let (number, wire_type) = decode_key(&mut rest).expect("a key");
        let field = match wire_type {
            WireType::LengthDelimited => {
                let length = decode_varint(&mut rest).expect("a length");
                let (content, behind) = rest.split_at(usize::try_from(length).expect("a length"));
                rest = behind;
                // Field 1 of a resource, and of what is below, is no group of items.
                let inner = (depth == 4 || number > 1) && depth > 1;
                let content = match inner && number != 3 && number != 12 {
                    true => mixed(content, depth - 1, rng),
                    false => content.to_vec(),
                };
                let mut field = Vec::new();
                encode_key(number, WireType::LengthDelimited, &mut field);
                encode_varint(content.len() as u64, &mut field);
                field.extend(content);
                field
            }
            other => {
                let length = match other {
                    WireType::Varint => rest.iter().take_while(|byte| **byte >= 0x80).count() + 1,
                    WireType::SixtyFourBit => 8,
                    _ => 4,
                };
                rest = &rest[length..];
                whole[..whole.len() - rest.len()].to_vec()
            }
        };
        fields.entry(number).or_default().push_back(field);
    }
    let mut out = Vec::with_capacity(bytes.len());
    while !fields.is_empty() {
        let numbers: Vec<u32> = fields.keys().copied().collect();
        let number = numbers[rng.usize(..numbers.len())];
        let queue = fields.get_mut(&number).expect("a queue");
        out.extend(queue.pop_front().expect("a field"));
        if queue.is_empty() {
            fields.remove(&number);
        }
    }
    out
}

#[test]
fn whatever_is_taken_becomes_points_and_the_same_request_again() {
    let mut rng = Rng::with_seed(12);
    let (mut taken, mut reordered) = (0, 0);
    for _ in 0..2_000 {
        for signal in SIGNALS {
            let mut bytes = encoded(signal, &mut rng);
            if rng.bool() {
                bytes = mixed(&bytes, 4, &mut rng);
            }
            if rng.bool() {
                spoil(&mut bytes, &mut rng);
            }
            let Ok(batch) = check(signal, &bytes) else {
                continue;
            };
            let points = decoded(&batch);
            assert!(points.len() <= batch.items());
            if points.is_empty() {
                continue;
            }
            taken += 1;
            let touched: Vec<Point> = points.into_iter().map(touched).collect();
            let rebuilt = encode(&batch, &touched);
            check(signal, rebuilt.bytes()).expect("a request");
            reordered += usize::from(rebuilt.bytes() != batch.bytes());
            assert_eq!(
                as_decoded(signal, rebuilt.bytes()),
                as_decoded(signal, &bytes),
                "{bytes:02x?}"
            );
        }
    }
    assert!(taken > 1000 && reordered > 0, "{taken} {reordered}");
}

/// A field of protobuf.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::bytes::encode(number, &content.to_vec(), &mut out);
    out
}

/// Requests that would take hours if anything were done for each pair of their parts.
#[test]
fn no_request_costs_more_than_its_length() {
    let many = 100_000_u32;
    let key = |number: u32| {
        // Descending, so that none has its place at the end of a sorted list.
        let key = format!("{:06}", many - number);
        [field(1, key.as_bytes()), field(2, &field(1, b"v"))].concat()
    };
    let keys = |number| -> Vec<u8> {
        (0..many)
            .flat_map(|key_of| field(number, &key(key_of)))
            .collect()
    };
    let in_scope = |scope: &[u8]| field(1, &field(2, scope));
    let tiny: Vec<u8> = (0..many).flat_map(|_| field(2, &[])).collect();
    // A resource in two parts, with all spans between.
    let parts = [
        field(1, &field(1, &key(1))),
        field(2, &tiny),
        field(1, &field(1, &key(2))),
    ];
    let events: Vec<u8> = (0..many).flat_map(|_| field(11, &[])).collect();
    let sums: Vec<u8> = (0..many).flat_map(|_| field(7, &field(1, &[]))).collect();
    let empty: Vec<u8> = (0..many).flat_map(|_| field(1, &field(2, &[]))).collect();
    let one = in_scope(&field(2, &field(5, b"x")));
    for (signal, bytes) in [
        (Signal::Traces, in_scope(&field(2, &keys(9)))),
        (Signal::Logs, in_scope(&field(2, &keys(6)))),
        (
            Signal::Traces,
            field(1, &[field(1, &keys(1)), field(2, &tiny)].concat()),
        ),
        (Signal::Traces, field(1, &parts.concat())),
        (Signal::Traces, in_scope(&field(2, &events))),
        (Signal::Metrics, in_scope(&field(2, &sums))),
        (Signal::Traces, [&empty[..], &one, &empty].concat()),
    ] {
        let batch = check(signal, &bytes).expect("a request");
        let touched: Vec<Point> = decoded(&batch).into_iter().map(touched).collect();
        let mut rest = touched.iter().skip(1).step_by(2).peekable();
        let some = match rest.peek() {
            Some(_) => encode(&batch, rest),
            None => encode(&batch, &touched),
        };
        check(signal, some.bytes()).expect("a request");
    }
}
