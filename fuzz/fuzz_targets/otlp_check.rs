//! OTLP as protobuf: what is taken, read in place, and written again is what prost makes of the same bytes. The first
//! byte chooses the signal.

#![no_main]

#[path = "../../point/tests/otlp/judge.rs"]
mod judge;

use std::fmt::Debug;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message;
use weir_fuzz::{input::Input, signal};
use weir_point::{
    Point, Text,
    otlp::{Encoder, OtlpBatch, PointRef, Signal},
};

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let signal = signal(input.byte());
    let decoded = judge::decoded(signal, input.0);
    match OtlpBatch::check(signal, Bytes::copy_from_slice(input.0)) {
        Ok(batch) => {
            assert_eq!(decoded, Some(batch.items()));
            assert_read(&batch);
            batch.points().for_each(|point| ask_everything(&point));
            assert_written(&batch);
        }
        // Groups are the only thing that prost takes and weir does not.
        Err(error) => assert!(
            decoded.is_none() || error.to_string().contains("group"),
            "{error}"
        ),
    }
});

/// All messages read in place and put together again.
fn assert_read(batch: &OtlpBatch) {
    let bytes = &batch.bytes()[..];
    match batch.signal() {
        Signal::Traces => assert_same(judge::read_traces(batch), bytes, judge::tidy_traces),
        Signal::Metrics => assert_same(judge::read_metrics(batch), bytes, judge::tidy_metrics),
        Signal::Logs => assert_same(judge::read_logs(batch), bytes, judge::tidy_logs),
    }
}

/// As bytes, so that NaN is equal to itself.
fn assert_same<M: Message + Default + PartialEq + Debug>(read: M, bytes: &[u8], tidy: fn(&mut M)) {
    let mut decoded = M::decode(bytes).expect("a request");
    tidy(&mut decoded);
    if read != decoded {
        assert_eq!(format!("{read:?}"), format!("{decoded:?}"));
    }
}

/// Each answer about a Point that is still in its request agrees with the others.
fn ask_everything(point: &PointRef<'_>) {
    let answers = [
        point.span().is_some(),
        point.log_record().is_some(),
        point.data_point().is_some() && point.series().is_some(),
    ];
    assert_eq!(answers.into_iter().filter(|answer| *answer).count(), 1);
    for (key, _) in point.tags() {
        assert!(point.tag(key).is_some());
    }
    let attributes = point.resource().attributes();
    let same = point
        .resource()
        .with_attributes(&attributes)
        .expect("a resource");
    assert_eq!(
        format!("{:?}", same.attributes()),
        format!("{attributes:?}")
    );
    let attributes = point.scope().attributes();
    let same = point.scope().with_attributes(&attributes).expect("a scope");
    assert_eq!(
        format!("{:?}", same.attributes()),
        format!("{attributes:?}")
    );
    let decoded = point.to_point();
    assert!(!decoded.is_edited());
    assert_eq!(decoded.name, point.name());
}

/// Points of the batch, encoded again.
fn assert_written(batch: &OtlpBatch) {
    let points: Vec<Point> = batch.points().map(|point| point.to_point()).collect();
    if points.is_empty() {
        return;
    }
    let same = OtlpBatch::encode(batch.signal(), &points).expect("Points of OTLP");
    if points.len() == batch.items() {
        assert_eq!(same.bytes(), batch.bytes());
    }
    assert_means_the_same(batch, &same);

    let touched: Vec<Point> = points.iter().cloned().map(touched).collect();
    let rebuilt = OtlpBatch::encode(batch.signal(), &touched).expect("Points of OTLP");
    assert_means_the_same(batch, &rebuilt);

    let mut mixed = Encoder::new(batch.signal());
    for (number, (point, touched)) in batch.points().zip(&touched).enumerate() {
        match number % 2 {
            0 => mixed.keep(&point),
            _ => mixed.push(touched).expect("a Point of OTLP"),
        }
    }
    assert_means_the_same(batch, &mixed.finish());

    let forgotten: Vec<Point> = points
        .into_iter()
        .map(|own| Point { wire: None, ..own })
        .collect();
    let anew = OtlpBatch::encode(batch.signal(), &forgotten).expect("Points of OTLP");
    let checked = OtlpBatch::check(batch.signal(), anew.bytes().clone()).expect("a request");
    assert_eq!(checked.items(), forgotten.len());
}

fn assert_means_the_same(batch: &OtlpBatch, written: &OtlpBatch) {
    let signal = batch.signal();
    let checked = OtlpBatch::check(signal, written.bytes().clone()).expect("a request");
    assert_eq!(checked.items(), written.items());
    assert_eq!(
        judge::as_decoded(signal, written.bytes()),
        judge::as_decoded(signal, batch.bytes())
    );
}

/// As if a script had changed it, and had changed its mind.
fn touched(mut point: Point) -> Point {
    let key = "\u{10ffff}";
    if point.tags.get(key).is_none() {
        point.tags.set(Text::new_static(key), Text::default());
        point.tags.remove(key);
    }
    point
}
