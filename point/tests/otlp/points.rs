//! Points of requests, and requests of Points: nothing is lost on the way there and back.

use fastrand::Rng;
use weir_point::{
    Point, Text,
    otlp::{Encoder, OtlpBatch},
};

use crate::check::{SIGNALS, check, encoded};

/// As if a script had changed each Point, and had changed its mind.
fn touched(mut point: Point) -> Point {
    assert!(!point.is_edited());
    point.tags.set(Text::new_static("\u{10ffff}"), Text::default());
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
