//! What prost says of a request, and a request put together again from what is read in place. The fuzz targets
//! have the same judge.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{self as common, EntityRef, InstrumentationScope, any_value::Value},
    logs::v1 as logs,
    metrics::v1::{self as proto, metric, number_data_point},
    resource::v1::Resource,
    trace::v1 as traces,
};
use prost::Message as _;
use weir_point::otlp::{
    AnyValue, Attributes, OtlpBatch, ResourceRef, ScopeRef, Signal,
    logs::LogRecord,
    metrics::{Data, Exemplar, Metric, Number, Span, Temporality},
    traces::{Event, Link, Span as Trace},
};

/// The number of items, if prost takes the request.
pub(crate) fn decoded(signal: Signal, bytes: &[u8]) -> Option<usize> {
    match signal {
        Signal::Traces => {
            let request = ExportTraceServiceRequest::decode(bytes).ok()?;
            let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
            Some(scopes.map(|scope| scope.spans.len()).sum())
        }
        Signal::Logs => {
            let request = ExportLogsServiceRequest::decode(bytes).ok()?;
            let scopes = request.resource_logs.iter().flat_map(|r| &r.scope_logs);
            Some(scopes.map(|scope| scope.log_records.len()).sum())
        }
        Signal::Metrics => {
            let request = ExportMetricsServiceRequest::decode(bytes).ok()?;
            let scopes = request
                .resource_metrics
                .iter()
                .flat_map(|r| &r.scope_metrics);
            let metrics = scopes.flat_map(|scope| &scope.metrics);
            Some(metrics.map(|metric| points(metric.data.as_ref())).sum())
        }
    }
}

fn points(data: Option<&metric::Data>) -> usize {
    match data {
        None => 0,
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(metric::Data::Sum(sum)) => sum.data_points.len(),
        Some(metric::Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(metric::Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(metric::Data::Summary(summary)) => summary.data_points.len(),
    }
}

/// What a decoder makes of it, in an order of its own and as bytes, so that NaN is equal to itself.
pub(crate) fn as_decoded(signal: Signal, bytes: &[u8]) -> Vec<u8> {
    match signal {
        Signal::Traces => ExportTraceServiceRequest::decode(bytes).map(|own| own.encode_to_vec()),
        Signal::Metrics => {
            ExportMetricsServiceRequest::decode(bytes).map(|own| own.encode_to_vec())
        }
        Signal::Logs => ExportLogsServiceRequest::decode(bytes).map(|own| own.encode_to_vec()),
    }
    .expect("a request")
}

/// The spans of `batch`, read in place.
pub(crate) fn read_traces(batch: &OtlpBatch) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: batch
            .resource_spans()
            .map(|own| traces::ResourceSpans {
                resource: Some(resource(own.resource())),
                schema_url: own.resource().schema_url().to_owned(),
                scope_spans: own
                    .scopes()
                    .map(|own| traces::ScopeSpans {
                        scope: Some(scope(own.scope())),
                        spans: own.spans().map(span).collect(),
                        schema_url: own.scope().schema_url().to_owned(),
                    })
                    .collect(),
            })
            .collect(),
    }
}

/// The log records of `batch`, read in place.
pub(crate) fn read_logs(batch: &OtlpBatch) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: batch
            .resource_logs()
            .map(|own| logs::ResourceLogs {
                resource: Some(resource(own.resource())),
                schema_url: own.resource().schema_url().to_owned(),
                scope_logs: own
                    .scopes()
                    .map(|own| logs::ScopeLogs {
                        scope: Some(scope(own.scope())),
                        log_records: own.records().map(record).collect(),
                        schema_url: own.scope().schema_url().to_owned(),
                    })
                    .collect(),
            })
            .collect(),
    }
}

/// The metrics of `batch`, read in place.
pub(crate) fn read_metrics(batch: &OtlpBatch) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: batch
            .resource_metrics()
            .map(|own| proto::ResourceMetrics {
                resource: Some(resource(own.resource())),
                schema_url: own.resource().schema_url().to_owned(),
                scope_metrics: own
                    .scopes()
                    .map(|own| proto::ScopeMetrics {
                        scope: Some(scope(own.scope())),
                        metrics: own.metrics().map(metric).collect(),
                        schema_url: own.scope().schema_url().to_owned(),
                    })
                    .collect(),
            })
            .collect(),
    }
}

pub(crate) fn resource(resource: ResourceRef<'_>) -> Resource {
    Resource {
        attributes: attributes(resource.attributes()),
        dropped_attributes_count: resource.dropped_attributes_count(),
        entity_refs: resource
            .entity_refs()
            .map(|entity| EntityRef {
                schema_url: entity.schema_url().to_owned(),
                r#type: entity.kind().to_owned(),
                id_keys: entity.id_keys().map(str::to_owned).collect(),
                description_keys: entity.description_keys().map(str::to_owned).collect(),
            })
            .collect(),
    }
}

pub(crate) fn scope(scope: ScopeRef<'_>) -> InstrumentationScope {
    InstrumentationScope {
        name: scope.name().to_owned(),
        version: scope.version().to_owned(),
        attributes: attributes(scope.attributes()),
        dropped_attributes_count: scope.dropped_attributes_count(),
    }
}

fn event(event: Event<'_>) -> traces::span::Event {
    traces::span::Event {
        time_unix_nano: event.time,
        name: event.name.to_owned(),
        attributes: attributes(event.attributes()),
        dropped_attributes_count: event.dropped_attributes_count,
    }
}

fn link(link: Link<'_>) -> traces::span::Link {
    traces::span::Link {
        trace_id: link.trace_id.to_vec(),
        span_id: link.span_id.to_vec(),
        trace_state: link.trace_state.to_owned(),
        attributes: attributes(link.attributes()),
        dropped_attributes_count: link.dropped_attributes_count,
        flags: link.flags,
    }
}

fn span(span: Trace<'_>) -> traces::Span {
    traces::Span {
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        trace_state: span.trace_state.to_owned(),
        parent_span_id: span.parent_span_id.to_vec(),
        flags: span.flags,
        name: span.name.to_owned(),
        kind: span.kind,
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: attributes(span.attributes()),
        dropped_attributes_count: span.dropped_attributes_count,
        events: span.events().map(event).collect(),
        dropped_events_count: span.dropped_events_count,
        links: span.links().map(link).collect(),
        dropped_links_count: span.dropped_links_count,
        status: span.status.map(|status| traces::Status {
            message: status.message.to_owned(),
            code: status.code,
        }),
    }
}

fn record(record: LogRecord<'_>) -> logs::LogRecord {
    logs::LogRecord {
        time_unix_nano: record.time,
        observed_time_unix_nano: record.observed_time,
        severity_number: record.severity_number,
        severity_text: record.severity_text.to_owned(),
        body: Some(value(record.body.clone())),
        attributes: attributes(record.attributes()),
        dropped_attributes_count: record.dropped_attributes_count,
        flags: record.flags,
        trace_id: record.trace_id.to_vec(),
        span_id: record.span_id.to_vec(),
        event_name: record.event_name.to_owned(),
    }
}

pub(crate) fn tidy_traces(request: &mut ExportTraceServiceRequest) {
    for own in &mut request.resource_spans {
        tidy(&mut own.resource.get_or_insert_default().attributes);
        for own in &mut own.scope_spans {
            tidy(&mut own.scope.get_or_insert_default().attributes);
            for span in &mut own.spans {
                tidy(&mut span.attributes);
                span.events
                    .iter_mut()
                    .for_each(|own| tidy(&mut own.attributes));
                span.links
                    .iter_mut()
                    .for_each(|own| tidy(&mut own.attributes));
            }
        }
    }
}

pub(crate) fn tidy_logs(request: &mut ExportLogsServiceRequest) {
    for own in &mut request.resource_logs {
        tidy(&mut own.resource.get_or_insert_default().attributes);
        for own in &mut own.scope_logs {
            tidy(&mut own.scope.get_or_insert_default().attributes);
            for record in &mut own.log_records {
                tidy(&mut record.attributes);
                tidy_value(record.body.get_or_insert_default());
            }
        }
    }
}

/// What is absent and what is empty are not told apart.
pub(crate) fn tidy_metrics(request: &mut ExportMetricsServiceRequest) {
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
}

/// A missing value and an empty one are the same. Indices of a table of strings are for profiles only.
pub(crate) fn tidy(attributes: &mut [common::KeyValue]) {
    for attribute in attributes {
        attribute.key_strindex = 0;
        tidy_value(attribute.value.get_or_insert_default());
    }
}

pub(crate) fn tidy_value(value: &mut common::AnyValue) {
    match &mut value.value {
        Some(Value::KvlistValue(list)) => tidy(&mut list.values),
        Some(Value::ArrayValue(list)) => list.values.iter_mut().for_each(tidy_value),
        Some(Value::StringValueStrindex(_)) => value.value = None,
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

pub(crate) fn metric(metric: Metric<'_>) -> proto::Metric {
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
