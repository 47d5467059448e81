//! From gathered rows to an OTLP export request.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
        metric::Data, number_data_point::Value,
    },
    resource::v1::Resource,
};

use super::window::Entry;
use crate::profile::{Attribute, Form, Group, Scope};

/// The request for `entries`, which are sorted by resource, and its number of data
/// points; `None` if there is no data point at all.
pub(super) fn of(entries: &[Entry]) -> Option<(ExportMetricsServiceRequest, u64)> {
    let resource_metrics: Vec<ResourceMetrics> = entries
        .chunk_by(|a, b| a.resource().eq(b.resource()))
        .map(of_one_resource)
        .filter(|resource| !resource.scope_metrics[0].metrics.is_empty())
        .collect();
    let data_points = resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics[0].metrics)
        .map(|metric| data_points(metric) as u64)
        .sum();
    let request = ExportMetricsServiceRequest { resource_metrics };
    (data_points > 0).then_some((request, data_points))
}

fn data_points(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        _ => 0,
    }
}

fn of_one_resource(entries: &[Entry]) -> ResourceMetrics {
    let mut attributes = attributes(&entries[0], Scope::Resource);
    attributes.push(text("service.name", "weir"));
    let mut metrics = Vec::new();
    let mut groups: Vec<&'static Group> = Vec::new();
    for entry in entries {
        if !groups.iter().any(|group| std::ptr::eq(*group, entry.group)) {
            groups.push(entry.group);
        }
    }
    for group in groups {
        let rows: Vec<(&Entry, Vec<KeyValue>)> = entries
            .iter()
            .filter(|entry| std::ptr::eq(entry.group, group))
            .map(|entry| (entry, self::attributes(entry, Scope::Series)))
            .collect();
        metrics.extend(counters(group, &rows));
        metrics.extend(gauges(group, &rows));
    }
    ResourceMetrics {
        resource: Some(Resource {
            attributes,
            ..Resource::default()
        }),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(InstrumentationScope {
                name: "weir".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            }),
            metrics,
            schema_url: String::new(),
        }],
        schema_url: String::new(),
    }
}

/// Counters that did not move are left out: a delta of zero says nothing.
fn counters(group: &'static Group, rows: &[(&Entry, Vec<KeyValue>)]) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    for (index, counter) in group.counters.iter().enumerate() {
        let moved = rows.iter().filter_map(|(entry, attributes)| {
            let count = entry.row.count(index).filter(|count| *count > 0)?;
            let value = Value::AsInt(i64::try_from(count).unwrap_or(i64::MAX));
            let mut point = data_point(entry, attributes, value);
            point.start_time_unix_nano = entry.start;
            if let Some((name, value)) = counter.attribute {
                point.attributes.push(text(name, value));
            }
            Some(point)
        });
        let mut moved: Vec<NumberDataPoint> = moved.collect();
        if moved.is_empty() {
            continue;
        }
        match metrics.last_mut() {
            // A field of the same metric as the one before.
            Some(Metric {
                name,
                data: Some(Data::Sum(sum)),
                ..
            }) if *name == counter.name => sum.data_points.append(&mut moved),
            _ => metrics.push(metric(
                counter.name,
                counter.help,
                counter.unit,
                Data::Sum(Sum {
                    data_points: moved,
                    aggregation_temporality: AggregationTemporality::Delta.into(),
                    is_monotonic: true,
                }),
            )),
        }
    }
    metrics
}

fn gauges(group: &'static Group, rows: &[(&Entry, Vec<KeyValue>)]) -> Vec<Metric> {
    let one = |(index, gauge): (usize, &'static crate::profile::Gauge)| {
        let data_points: Vec<NumberDataPoint> = rows
            .iter()
            .filter_map(|(entry, attributes)| {
                let value = Value::AsDouble(entry.row.gauge(index, gauge)?);
                Some(data_point(entry, attributes, value))
            })
            .collect();
        let data = Data::Gauge(Gauge { data_points });
        let metric = metric(gauge.name, gauge.help, gauge.unit, data);
        (self::data_points(&metric) > 0).then_some(metric)
    };
    group.gauges.iter().enumerate().filter_map(one).collect()
}

fn metric(name: &str, help: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        description: help.to_owned(),
        unit: unit.to_owned(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

fn data_point(entry: &Entry, attributes: &[KeyValue], value: Value) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes.to_vec(),
        time_unix_nano: entry.time,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn attributes(entry: &Entry, scope: Scope) -> Vec<KeyValue> {
    entry
        .set
        .attributes_of(entry.group)
        .filter(|attribute| attribute.scope == scope)
        .filter_map(|attribute| typed(attribute, entry))
        .collect()
}

fn typed(attribute: &Attribute, entry: &Entry) -> Option<KeyValue> {
    let value = attribute.of(entry.point())?;
    Some(match (attribute.form, value.parse()) {
        (Form::Integer, Ok(number)) => {
            key_value(attribute.name, any_value::Value::IntValue(number))
        }
        _ => text(attribute.name, &value),
    })
}

fn text(name: &str, value: &str) -> KeyValue {
    key_value(name, any_value::Value::StringValue(value.to_owned()))
}

fn key_value(name: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
