//! Spans and log records read in place say what prost decodes.

use fastrand::Rng;
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{EntityRef, InstrumentationScope},
    logs::v1 as logs,
    resource::v1::Resource,
    trace::v1 as traces,
};
use prost::Message as _;
use weir_point::otlp::{
    ResourceRef, ScopeRef, Signal,
    logs::LogRecord,
    traces::{Event, Link, Span},
};

use crate::{
    check::check,
    generate,
    metrics::{attributes, tidy, tidy_value, value},
};

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

fn span(span: Span<'_>) -> traces::Span {
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

fn tidy_traces(request: &mut ExportTraceServiceRequest) {
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

fn tidy_logs(request: &mut ExportLogsServiceRequest) {
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

#[test]
fn spans_are_read_as_they_were_written() {
    let mut rng = Rng::with_seed(8);
    for _ in 0..2000 {
        let mut request = generate::traces(&mut rng);
        let batch = check(Signal::Traces, &request.encode_to_vec()).expect("a request");
        let read = ExportTraceServiceRequest {
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
        };
        tidy_traces(&mut request);
        assert_eq!(read, request);
    }
}

#[test]
fn log_records_are_read_as_they_were_written() {
    let mut rng = Rng::with_seed(9);
    for _ in 0..2000 {
        let mut request = generate::logs(&mut rng);
        let batch = check(Signal::Logs, &request.encode_to_vec()).expect("a request");
        let read = ExportLogsServiceRequest {
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
        };
        tidy_logs(&mut request);
        assert_eq!(read, request);
    }
}

#[test]
fn each_signal_has_its_own_reader() {
    let mut rng = Rng::with_seed(10);
    let request = generate::traces(&mut rng).encode_to_vec();
    let batch = check(Signal::Traces, &request).expect("a request");
    assert_eq!(batch.resource_logs().count(), 0);
    for point in batch.points() {
        assert!(point.span().is_some());
        assert!(point.log_record().is_none());
        assert!(point.data_point().is_none());
    }
}
