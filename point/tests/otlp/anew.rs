//! Points that have forgotten their bytes are written as the same items, by the judgement of prost.

use std::collections::BTreeMap;

use fastrand::Rng;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, KeyValueList, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::{
        Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint,
        SummaryDataPoint,
    },
    trace::v1::Span,
};
use prost::Message;
use weir_point::{
    Point,
    otlp::{OtlpBatch, Signal},
};

use crate::check::{SIGNALS, check, encoded};

/// By name, of several the last; text before all else if that is `apart`, as tags are.
fn settle(attributes: &mut Vec<KeyValue>, apart: bool) {
    let mut last = BTreeMap::new();
    for mut own in attributes.drain(..) {
        settle_value(own.value.get_or_insert_default());
        let is_text = matches!(
            own.value.as_ref().and_then(|value| value.value.as_ref()),
            Some(Value::StringValue(_))
        );
        last.insert((apart && !is_text, own.key.clone()), own);
    }
    attributes.extend(last.into_values());
}

fn settle_value(value: &mut AnyValue) {
    match &mut value.value {
        Some(Value::KvlistValue(KeyValueList { values })) => settle(values, false),
        Some(Value::ArrayValue(list)) => list.values.iter_mut().for_each(settle_value),
        _ => {}
    }
}

fn settle_exemplars(exemplars: &mut [Exemplar]) {
    for own in exemplars {
        settle(&mut own.filtered_attributes, false);
    }
}

fn span(bytes: &[u8]) -> Span {
    let mut span = Span::decode(bytes).expect("a span");
    settle(&mut span.attributes, true);
    for own in &mut span.events {
        settle(&mut own.attributes, false);
    }
    for own in &mut span.links {
        settle(&mut own.attributes, false);
    }
    span.status = span.status.filter(|status| *status != Default::default());
    span
}

fn record(bytes: &[u8]) -> LogRecord {
    let mut record = LogRecord::decode(bytes).expect("a log record");
    settle(&mut record.attributes, true);
    record.body.iter_mut().for_each(settle_value);
    record
}

macro_rules! data_point {
    ($bytes:expr, $message:ty $(, $exemplars:ident)?) => {{
        let mut point = <$message>::decode($bytes).expect("a data point");
        settle(&mut point.attributes, true);
        $(settle_exemplars(&mut point.$exemplars);)?
        format!("{point:?}")
    }};
}

/// The item, decoded by prost and in a settled order.
fn item(signal: Signal, point: &Point) -> String {
    let bytes = point.wire.as_ref().expect("bytes").bytes();
    let kind = point.fields.get("type").and_then(|kind| kind.as_text());
    match (signal, kind) {
        (Signal::Traces, _) => format!("{:?}", span(bytes)),
        (Signal::Logs, _) => format!("{:?}", record(bytes)),
        (_, Some("histogram")) => data_point!(bytes, HistogramDataPoint, exemplars),
        (_, Some("exponential_histogram")) => {
            data_point!(bytes, ExponentialHistogramDataPoint, exemplars)
        }
        (_, Some("summary")) => data_point!(bytes, SummaryDataPoint),
        _ => data_point!(bytes, NumberDataPoint, exemplars),
    }
}

fn points(batch: &OtlpBatch) -> Vec<Point> {
    batch.points().map(|point| point.to_point()).collect()
}

#[test]
fn tags_and_fields_alone_make_the_same_items_again() {
    let mut rng = Rng::with_seed(13);
    for _ in 0..1500 {
        for signal in SIGNALS {
            let batch = check(signal, &encoded(signal, &mut rng)).expect("a request");
            let before = points(&batch);
            let forgotten: Vec<Point> = before
                .iter()
                .map(|point| Point {
                    wire: None,
                    ..point.clone()
                })
                .collect();
            let anew = OtlpBatch::encode(signal, &forgotten).expect("Points of OTLP");
            let anew = check(signal, anew.bytes()).expect("a request");
            let after = points(&anew);
            assert_eq!(before.len(), after.len());
            for (before, after) in before.iter().zip(&after) {
                assert_eq!(item(signal, before), item(signal, after));
                assert_eq!(before.name, after.name);
                for key in [
                    "unit",
                    "description",
                    "temporality",
                    "monotonic",
                    "metadata",
                ] {
                    let (before, after) = (before.fields.get(key), after.fields.get(key));
                    assert_eq!(format!("{before:?}"), format!("{after:?}"), "{key}");
                }
                assert_eq!(before.resource, after.resource);
                assert_eq!(before.scope, after.scope);
            }
        }
    }
}
