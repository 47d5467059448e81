//! Metrics read in place say what prost decodes.

use fastrand::Rng;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{self as common, any_value::Value},
    metrics::v1::{self as proto, metric, number_data_point},
};
use prost::Message as _;
use weir_point::otlp::{
    AnyValue, Attributes, Signal,
    metrics::{Data, Exemplar, Metric, Number, Span, Temporality},
};

use crate::{
    check::{check, encoded},
    generate, readers,
};

#[test]
fn metrics_are_read_as_they_were_written() {
    let mut rng = Rng::with_seed(6);
    let mut points = 0;
    for _ in 0..3000 {
        let request = generate::metrics(&mut rng);
        let batch = check(Signal::Metrics, &request.encode_to_vec()).expect("a request");
        points += batch.items();
        let read = ExportMetricsServiceRequest {
            resource_metrics: batch
                .resource_metrics()
                .map(|resource| proto::ResourceMetrics {
                    resource: Some(readers::resource(resource.resource())),
                    scope_metrics: resource
                        .scopes()
                        .map(|scope| proto::ScopeMetrics {
                            scope: Some(readers::scope(scope.scope())),
                            metrics: scope.metrics().map(metric).collect(),
                            schema_url: scope.scope().schema_url().to_owned(),
                        })
                        .collect(),
                    schema_url: resource.resource().schema_url().to_owned(),
                })
                .collect(),
        };
        assert_eq!(read, without_what_is_not_read(request));
    }
    assert!(points > 10_000, "{points}");
}

/// What is absent and what is empty are not told apart.
fn without_what_is_not_read(
    mut request: ExportMetricsServiceRequest,
) -> ExportMetricsServiceRequest {
    for resource in &mut request.resource_metrics {
        tidy(&mut resource.resource.get_or_insert_default().attributes);
        for scope in &mut resource.scope_metrics {
            tidy(&mut scope.scope.get_or_insert_default().attributes);
            for metric in &mut scope.metrics {
                tidy(&mut metric.metadata);
                tidy_metric(metric);
            }
        }
    }
    request
}

/// A missing value and an empty one are the same.
pub(crate) fn tidy(attributes: &mut [common::KeyValue]) {
    for attribute in attributes {
        tidy_value(attribute.value.get_or_insert_default());
    }
}

pub(crate) fn tidy_value(value: &mut common::AnyValue) {
    match &mut value.value {
        Some(Value::KvlistValue(list)) => tidy(&mut list.values),
        Some(Value::ArrayValue(list)) => list.values.iter_mut().for_each(tidy_value),
        _ => {}
    }
}

fn tidy_metric(metric: &mut proto::Metric) {
    let exemplars = |exemplars: &mut [proto::Exemplar]| {
        for exemplar in exemplars {
            tidy(&mut exemplar.filtered_attributes);
        }
    };
    let temporality = |temporality: &mut i32| {
        if !(0..3).contains(temporality) {
            *temporality = 0;
        }
    };
    match &mut metric.data {
        None => {}
        Some(metric::Data::Gauge(proto::Gauge { data_points })) => {
            for point in data_points {
                tidy(&mut point.attributes);
                exemplars(&mut point.exemplars);
            }
        }
        Some(metric::Data::Sum(sum)) => {
            temporality(&mut sum.aggregation_temporality);
            for point in &mut sum.data_points {
                tidy(&mut point.attributes);
                exemplars(&mut point.exemplars);
            }
        }
        Some(metric::Data::Histogram(histogram)) => {
            temporality(&mut histogram.aggregation_temporality);
            for point in &mut histogram.data_points {
                tidy(&mut point.attributes);
                exemplars(&mut point.exemplars);
            }
        }
        Some(metric::Data::ExponentialHistogram(histogram)) => {
            temporality(&mut histogram.aggregation_temporality);
            for point in &mut histogram.data_points {
                tidy(&mut point.attributes);
                exemplars(&mut point.exemplars);
                point.positive.get_or_insert_default();
                point.negative.get_or_insert_default();
            }
        }
        Some(metric::Data::Summary(summary)) => {
            for point in &mut summary.data_points {
                tidy(&mut point.attributes);
            }
        }
    }
}

pub(crate) fn attributes(attributes: Attributes<'_>) -> Vec<common::KeyValue> {
    let attribute = |attribute: weir_point::otlp::Attribute<'_>| common::KeyValue {
        key: attribute.key.to_owned(),
        value: Some(value(attribute.value)),
        ..Default::default()
    };
    attributes.map(attribute).collect()
}

pub(crate) fn value(value: AnyValue<'_>) -> common::AnyValue {
    let value = match value {
        AnyValue::Empty => None,
        AnyValue::Text(text) => Some(Value::StringValue(text.to_owned())),
        AnyValue::Bool(bool) => Some(Value::BoolValue(bool)),
        AnyValue::Int(int) => Some(Value::IntValue(int)),
        AnyValue::Double(double) => Some(Value::DoubleValue(double)),
        AnyValue::Array(values) => Some(Value::ArrayValue(common::ArrayValue {
            values: values.map(self::value).collect(),
        })),
        AnyValue::Map(values) => Some(Value::KvlistValue(common::KeyValueList {
            values: attributes(values),
        })),
        AnyValue::Bytes(bytes) => Some(Value::BytesValue(bytes.to_vec())),
    };
    common::AnyValue { value }
}

fn exemplars<'a>(exemplars: impl Iterator<Item = Exemplar<'a>>) -> Vec<proto::Exemplar> {
    let exemplar = |exemplar: Exemplar<'a>| proto::Exemplar {
        filtered_attributes: attributes(exemplar.attributes()),
        time_unix_nano: exemplar.time,
        span_id: exemplar.span_id.to_vec(),
        trace_id: exemplar.trace_id.to_vec(),
        value: exemplar.value.map(|value| match value {
            Number::Int(int) => proto::exemplar::Value::AsInt(int),
            Number::Double(double) => proto::exemplar::Value::AsDouble(double),
        }),
    };
    exemplars.map(exemplar).collect()
}

fn flags(span: Span) -> u32 {
    assert_eq!(span.no_recorded_value, span.flags & 1 == 1);
    span.flags
}

fn aggregation_temporality(temporality: Temporality) -> i32 {
    match temporality {
        Temporality::Unspecified => 0,
        Temporality::Delta => 1,
        Temporality::Cumulative => 2,
    }
}

fn number(point: weir_point::otlp::metrics::NumberPoint<'_>) -> proto::NumberDataPoint {
    proto::NumberDataPoint {
        attributes: attributes(point.attributes()),
        start_time_unix_nano: point.span.start,
        time_unix_nano: point.span.time,
        exemplars: exemplars(point.exemplars()),
        flags: flags(point.span),
        value: point.value.map(|value| match value {
            Number::Int(int) => number_data_point::Value::AsInt(int),
            Number::Double(double) => number_data_point::Value::AsDouble(double),
        }),
    }
}

fn histogram(point: weir_point::otlp::metrics::HistogramPoint<'_>) -> proto::HistogramDataPoint {
    proto::HistogramDataPoint {
        attributes: attributes(point.attributes()),
        start_time_unix_nano: point.span.start,
        time_unix_nano: point.span.time,
        count: point.count,
        sum: point.sum,
        bucket_counts: point.counts().collect(),
        explicit_bounds: point.bounds().collect(),
        exemplars: exemplars(point.exemplars()),
        flags: flags(point.span),
        min: point.min,
        max: point.max,
    }
}

fn exponential(
    point: weir_point::otlp::metrics::ExponentialPoint<'_>,
) -> proto::ExponentialHistogramDataPoint {
    let buckets = |buckets: weir_point::otlp::metrics::Buckets<'_>| {
        proto::exponential_histogram_data_point::Buckets {
            offset: buckets.offset,
            bucket_counts: buckets.counts().collect(),
        }
    };
    proto::ExponentialHistogramDataPoint {
        attributes: attributes(point.attributes()),
        start_time_unix_nano: point.span.start,
        time_unix_nano: point.span.time,
        count: point.count,
        sum: point.sum,
        scale: point.scale,
        zero_count: point.zero_count,
        positive: Some(buckets(point.positive())),
        negative: Some(buckets(point.negative())),
        flags: flags(point.span),
        exemplars: exemplars(point.exemplars()),
        min: point.min,
        max: point.max,
        zero_threshold: point.zero_threshold,
    }
}

fn summary(point: weir_point::otlp::metrics::SummaryPoint<'_>) -> proto::SummaryDataPoint {
    let quantile =
        |(quantile, value)| proto::summary_data_point::ValueAtQuantile { quantile, value };
    proto::SummaryDataPoint {
        attributes: attributes(point.attributes()),
        start_time_unix_nano: point.span.start,
        time_unix_nano: point.span.time,
        count: point.count,
        sum: point.sum,
        quantile_values: point.quantiles().map(quantile).collect(),
        flags: flags(point.span),
    }
}

fn metric(metric: Metric<'_>) -> proto::Metric {
    let metadata = attributes(metric.metadata());
    let data = match metric.data {
        Data::Empty => None,
        Data::Gauge(points) => Some(metric::Data::Gauge(proto::Gauge {
            data_points: points.map(number).collect(),
        })),
        Data::Sum {
            points,
            temporality,
            monotonic,
        } => Some(metric::Data::Sum(proto::Sum {
            data_points: points.map(number).collect(),
            aggregation_temporality: aggregation_temporality(temporality),
            is_monotonic: monotonic,
        })),
        Data::Histogram {
            points,
            temporality,
        } => Some(metric::Data::Histogram(proto::Histogram {
            data_points: points.map(histogram).collect(),
            aggregation_temporality: aggregation_temporality(temporality),
        })),
        Data::ExponentialHistogram {
            points,
            temporality,
        } => Some(metric::Data::ExponentialHistogram(
            proto::ExponentialHistogram {
                data_points: points.map(exponential).collect(),
                aggregation_temporality: aggregation_temporality(temporality),
            },
        )),
        Data::Summary(points) => Some(metric::Data::Summary(proto::Summary {
            data_points: points.map(summary).collect(),
        })),
    };
    proto::Metric {
        name: metric.name.to_owned(),
        description: metric.description.to_owned(),
        unit: metric.unit.to_owned(),
        metadata,
        data,
    }
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
        let read = scope.metrics().map(metric).next().expect("a metric");
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
