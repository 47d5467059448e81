//! OTLP metrics.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{
        Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Histogram,
        HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar,
        metric::Data,
    },
    resource::v1::Resource,
};

pub(crate) const DELTA: i32 = 1;
pub(crate) const CUMULATIVE: i32 = 2;

pub(crate) fn texts(attributes: &[(&str, &str)]) -> Vec<KeyValue> {
    let attribute = |(key, value): &(&str, &str)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue((*value).to_owned())),
        }),
        ..KeyValue::default()
    };
    attributes.iter().map(attribute).collect()
}

pub(crate) fn resource(attributes: &[(&str, &str)]) -> Option<Resource> {
    Some(Resource {
        attributes: texts(attributes),
        ..Resource::default()
    })
}

/// Metrics of a resource that says nothing about itself.
pub(crate) fn metrics(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

pub(crate) fn counter(name: &str, unit: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    let sum = Sum {
        data_points,
        aggregation_temporality: CUMULATIVE,
        is_monotonic: true,
    };
    metric(name, unit, Data::Sum(sum))
}

pub(crate) fn explicit(name: &str, unit: &str, points: Vec<HistogramDataPoint>) -> Metric {
    let histogram = Histogram {
        data_points: points,
        aggregation_temporality: CUMULATIVE,
    };
    metric(name, unit, Data::Histogram(histogram))
}

pub(crate) fn exponential(
    name: &str,
    unit: &str,
    temporality: i32,
    data_points: Vec<ExponentialHistogramDataPoint>,
) -> Metric {
    let histogram = ExponentialHistogram {
        data_points,
        aggregation_temporality: temporality,
    };
    metric(name, unit, Data::ExponentialHistogram(histogram))
}

/// An exemplar of the trace and the span that are made of `id`.
pub(crate) fn exemplar(value: f64, time: u64, id: u8) -> Exemplar {
    Exemplar {
        value: Some(exemplar::Value::AsDouble(value)),
        time_unix_nano: time,
        trace_id: vec![id; 16],
        span_id: vec![id; 8],
        ..Exemplar::default()
    }
}
