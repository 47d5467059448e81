//! Metrics read in place say what prost decodes.

use fastrand::Rng;
use opentelemetry_proto::tonic::metrics::v1::{self as proto, metric, number_data_point};
use prost::Message as _;
use weir_point::otlp::Signal;

use crate::{
    check::{check, encoded},
    generate,
    judge::{self, read_metrics, tidy_metrics},
};

#[test]
fn metrics_are_read_as_they_were_written() {
    let mut rng = Rng::with_seed(6);
    let mut points = 0;
    for _ in 0..3000 {
        let mut request = generate::metrics(&mut rng);
        let batch = check(Signal::Metrics, &request.encode_to_vec()).expect("a request");
        points += batch.items();
        tidy_metrics(&mut request);
        assert_eq!(read_metrics(&batch), request);
    }
    assert!(points > 10_000, "{points}");
}

/// Messages that are no list may come in parts, and of alternatives the last counts.
#[test]
fn fields_that_come_twice_are_read_as_a_decoder_merges_them() {
    let sum = |value, is_monotonic| proto::Metric {
        name: "parts".to_owned(),
        data: Some(metric::Data::Sum(proto::Sum {
            data_points: vec![proto::NumberDataPoint {
                value: Some(number_data_point::Value::AsInt(value)),
                ..Default::default()
            }],
            aggregation_temporality: 2,
            is_monotonic,
        })),
        ..Default::default()
    };
    let gauge = proto::Metric {
        data: Some(metric::Data::Gauge(proto::Gauge {
            data_points: vec![proto::NumberDataPoint::default()],
        })),
        ..Default::default()
    };
    for parts in [
        vec![sum(1, false), sum(2, true)],
        vec![sum(1, true), gauge.clone(), sum(3, false)],
        vec![sum(1, true), gauge.clone()],
        vec![gauge.clone(), sum(3, false), sum(4, false), gauge],
    ] {
        let together: Vec<u8> = parts
            .iter()
            .flat_map(prost::Message::encode_to_vec)
            .collect();
        let wanted = proto::Metric::decode(&together[..]).expect("a metric");
        let request = [2, 2, 1].iter().fold(together, |message, number| {
            let mut bytes = Vec::new();
            prost::encoding::bytes::encode(*number, &message, &mut bytes);
            bytes
        });
        let batch = check(Signal::Metrics, &request).expect("a request");
        let resource = batch.resource_metrics().next().expect("a resource");
        let scope = resource.scopes().next().expect("a scope");
        let read = scope.metrics().map(judge::metric).next().expect("a metric");
        assert_eq!(read, wanted);
    }
}

#[test]
fn a_batch_of_another_signal_has_no_metrics() {
    let mut rng = Rng::with_seed(7);
    for signal in [Signal::Traces, Signal::Logs] {
        let batch = check(signal, &encoded(signal, &mut rng)).expect("a request");
        assert_eq!(batch.resource_metrics().count(), 0);
    }
}
