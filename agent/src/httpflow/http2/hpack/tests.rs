//! The oracle is another implementation of the standard.

use loona_hpack::{Decoder, Encoder};

use super::*;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

const NAMES: [&[u8]; 10] = [
    b":method",
    b":path",
    b":authority",
    b":status",
    b"host",
    b"content-type",
    b"grpc-status",
    b"traceparent",
    b"x-request-id",
    b"cookie",
];

fn looked_at(fields: &Pairs) -> Vec<(Field, Vec<u8>)> {
    fields
        .iter()
        .map(|(name, value)| (Field::of(name), value.clone()))
        .filter(|(field, _)| *field != Field::Other)
        .collect()
}

fn decoded(table: &mut Hpack, block: &[u8]) -> Result<Vec<(Field, Vec<u8>)>, Broken> {
    let mut found = Vec::new();
    table.decode(block, &mut |field, value| {
        if field != Field::Other {
            found.push((field, value.to_vec()));
        }
    })?;
    Ok(found)
}

fn fields(rng: &mut fastrand::Rng) -> Pairs {
    let value = |rng: &mut fastrand::Rng| {
        let length = if rng.u8(..) < 4 {
            5000
        } else {
            rng.usize(..40)
        };
        (0..length).map(|_| rng.u8(b' '..=b'~')).collect()
    };
    (0..rng.usize(1..12))
        .map(|_| {
            let name = NAMES[rng.usize(..NAMES.len())].to_vec();
            let common = [&b"/"[..], b"GET", b"200", b"application/grpc", b"a"];
            let value = if rng.bool() {
                common[rng.usize(..common.len())].to_vec()
            } else {
                value(rng)
            };
            (name, value)
        })
        .collect()
}

#[test]
fn blocks_of_another_encoder_are_read() {
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..50 {
        let mut encoder = Encoder::new();
        let mut table = Hpack::new(false);
        for _ in 0..20 {
            let fields = fields(&mut rng);
            let pairs = fields.iter().map(|(name, value)| (&name[..], &value[..]));
            let block = encoder.encode(pairs);
            assert_eq!(decoded(&mut table, &block).unwrap(), looked_at(&fields));
        }
    }
}

/// A representation of some kind, nearly always a valid one.
fn representation(rng: &mut fastrand::Rng, block: &mut Vec<u8>) {
    let text = |rng: &mut fastrand::Rng, block: &mut Vec<u8>| {
        let text = fields(rng).swap_remove(0).1;
        block.extend(loona_hpack::encoder::encode_integer(text.len(), 7));
        block.extend(text);
    };
    match rng.u8(..16) {
        0..6 => block.push(0x80 | rng.u8(1..66)),
        6..15 => {
            let kind = [0x40, 0x40, 0x10, 0][rng.usize(..4)];
            let named = rng.bool();
            // The last names are those of the dynamic table.
            let most = if kind == 0x40 { 63 } else { 15 };
            block.push(kind | if named { rng.u8(1..most) } else { 0 });
            if !named {
                let name = NAMES[rng.usize(..NAMES.len())];
                block.push(name.len() as u8);
                block.extend(name);
            }
            text(rng, block);
        }
        _ => block.extend([0x3f, rng.u8(..0x80), 0x82]),
    }
}

#[test]
fn blocks_of_every_kind_are_read_like_another_decoder_does() {
    let mut rng = fastrand::Rng::with_seed(2);
    let mut read = 0;
    for _ in 0..300 {
        let (mut table, mut other) = (Hpack::new(false), Decoder::new());
        loop {
            let mut block = Vec::new();
            for _ in 0..rng.usize(1..6) {
                representation(&mut rng, &mut block);
            }
            let Ok(expected) = other.decode(&block) else {
                assert_eq!(decoded(&mut table, &block), Err(Broken), "{block:02x?}");
                break;
            };
            assert_eq!(
                decoded(&mut table, &block).unwrap(),
                looked_at(&expected),
                "{block:02x?}"
            );
            read += 1;
        }
    }
    assert!(read > 500, "{read}");
}

#[test]
fn huffman_coded_fields_are_read_like_another_decoder_does() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut read = 0;
    for _ in 0..3000 {
        let length = rng.usize(1..12);
        let mut coded: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
        if rng.bool()
            && let Some(last) = coded.last_mut()
        {
            *last |= 0x0f;
        }
        let mut block = vec![0x04, 0x80 | coded.len() as u8];
        block.extend(&coded);
        let expected = Decoder::new().decode(&block);
        let found = decoded(&mut Hpack::new(false), &block);
        read += usize::from(expected.is_ok());
        assert_eq!(
            found.ok(),
            expected.ok().map(|fields| looked_at(&fields)),
            "{block:02x?}"
        );
    }
    assert!(read > 100, "{read}");
}

/// `:path` with a value, put into the table.
fn path(value: &str) -> Vec<u8> {
    [&[0x44, value.len() as u8], value.as_bytes()].concat()
}

/// The youngest entry of the table.
const YOUNGEST: &[u8] = &[0x80 | 62];

#[test]
fn what_was_put_into_the_table_before_is_unknown_and_what_comes_later_is_not() {
    let mut table = Hpack::new(true);
    assert_eq!(decoded(&mut table, YOUNGEST).unwrap()[0].0, Field::Unknown);
    decoded(&mut table, &path("/late")).unwrap();
    let found = decoded(&mut table, &[0x80 | 62, 0x80 | 63]).unwrap();
    assert_eq!(found[0], (Field::Path, b"/late".to_vec()));
    assert_eq!(found[1].0, Field::Unknown);
}

#[test]
fn a_table_that_was_lost_sight_of_is_read_on() {
    let mut table = Hpack::new(false);
    decoded(&mut table, &path("/a")).unwrap();
    assert_eq!(decoded(&mut table, &[0x80]), Err(Broken));
    assert_eq!(decoded(&mut table, YOUNGEST).unwrap()[0].0, Field::Unknown);
}

#[test]
fn a_table_does_not_grow_past_its_bound() {
    let mut table = Hpack::new(false);
    assert_eq!(
        table.decode(&[0x3f, 0xe1, 0xff, 0x7f], &mut |_, _| {}),
        Err(Broken)
    );
    let mut block = vec![0x40, 1, b'a', 0x7f, 0xa1, 0x1e];
    block.extend([b'x'; 4000]);
    for _ in 0..100 {
        table.decode(&block, &mut |_, _| {}).unwrap();
    }
    assert!(table.size <= DEFAULT_SIZE && table.entries.len() <= DEFAULT_SIZE / ENTRY);
}
