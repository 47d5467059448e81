//! What is taken, what is refused, and what is counted.

use bytes::Bytes;
use fastrand::Rng;
use prost::Message as _;
use weir_point::otlp::{OtlpBatch, Signal};

use crate::{generate, judge::decoded};

pub(crate) const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

/// A request at random.
pub(crate) fn encoded(signal: Signal, rng: &mut Rng) -> Vec<u8> {
    match signal {
        Signal::Traces => generate::traces(rng).encode_to_vec(),
        Signal::Metrics => generate::metrics(rng).encode_to_vec(),
        Signal::Logs => generate::logs(rng).encode_to_vec(),
    }
}

pub(crate) fn check(signal: Signal, bytes: &[u8]) -> Result<OtlpBatch, String> {
    OtlpBatch::check(signal, Bytes::copy_from_slice(bytes)).map_err(|error| error.to_string())
}

#[test]
fn whatever_a_client_can_say_is_taken_and_counted() {
    let mut rng = Rng::with_seed(1);
    let mut items = 0;
    for round in 0..3000 {
        for signal in SIGNALS {
            let bytes = encoded(signal, &mut rng);
            let batch = check(signal, &bytes).unwrap_or_else(|error| panic!("{round}: {error}"));
            assert_eq!(Some(batch.items()), decoded(signal, &bytes), "{round}");
            assert_eq!(batch.bytes(), &bytes);
            items += batch.items();
        }
    }
    assert!(items > 20_000, "{items}");
}

#[test]
fn two_requests_in_a_row_are_one_request_with_the_items_of_both() {
    let mut rng = Rng::with_seed(2);
    for signal in SIGNALS {
        for _ in 0..200 {
            let (one, other) = (encoded(signal, &mut rng), encoded(signal, &mut rng));
            let items = |bytes: &[u8]| check(signal, bytes).expect("a request").items();
            let both = [&one[..], &other].concat();
            assert_eq!(items(&both), items(&one) + items(&other));
            assert_eq!(decoded(signal, &both), Some(items(&both)));
        }
    }
}

/// Changes a few bytes: most results are no request any more, but some are.
pub(crate) fn spoil(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.usize(1..4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.usize(..bytes.len());
        match rng.u8(..7) {
            0 => bytes[at] ^= 1 << rng.u8(..8),
            1 => bytes[at] = rng.u8(..),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, rng.u8(..)),
            4 => drop(bytes.remove(at)),
            // Another wire type, or another field, most likely.
            5 => bytes[at] = bytes[at].wrapping_add(rng.u8(1..9)),
            _ => {
                let to = rng.usize(at..bytes.len().min(at + 40));
                let part = bytes[at..to].to_vec();
                let place = rng.usize(..bytes.len());
                bytes.splice(place..place, part);
            }
        }
    }
}

#[test]
fn nothing_is_taken_that_a_decoder_refuses() {
    let mut rng = Rng::with_seed(3);
    let (mut taken, mut refused, mut stricter) = (0, 0, 0);
    for _ in 0..25_000 {
        for signal in SIGNALS {
            let mut bytes = encoded(signal, &mut rng);
            bytes.truncate(2000);
            spoil(&mut bytes, &mut rng);
            match (check(signal, &bytes), decoded(signal, &bytes)) {
                (Ok(batch), None) => panic!("taken: {:02x?}", batch.bytes()),
                (Ok(_), Some(_)) => taken += 1,
                (Err(_), None) => refused += 1,
                (Err(error), Some(_)) => {
                    // The only thing that prost takes and we do not.
                    assert!(error.contains("group"), "{error}");
                    stricter += 1;
                }
            }
        }
    }
    assert!(
        taken > 5_000 && refused > 5_000,
        "{taken} {refused} {stricter}"
    );
}

#[test]
fn noise_is_refused_or_harmless() {
    let mut rng = Rng::with_seed(4);
    for _ in 0..100_000 {
        let length = rng.usize(..60);
        let bytes: Vec<u8> = (0..length).map(|_| rng.u8(..) & rng.u8(..)).collect();
        for signal in SIGNALS {
            if check(signal, &bytes).is_ok() {
                assert!(decoded(signal, &bytes).is_some(), "{bytes:02x?}");
            }
        }
    }
}

#[test]
fn a_request_cut_anywhere_inside_a_resource_is_refused() {
    let mut rng = Rng::with_seed(5);
    for signal in SIGNALS {
        for _ in 0..100 {
            let bytes = encoded(signal, &mut rng);
            for to in 0..bytes.len() {
                let cut = &bytes[..to];
                let taken = check(signal, cut).ok().map(|batch| batch.items());
                assert_eq!(taken, decoded(signal, cut));
            }
        }
    }
}
