//! The messages of OTLP 1.x, as tables: which field has which type.
//!
//! Source: `opentelemetry/proto/*/v1/*.proto` of opentelemetry-proto.

use super::Signal;

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// The message has no such field.
    Unknown,
    /// A varint: integers, enums, booleans.
    Varint,
    /// 4 bytes.
    Fixed32,
    /// 8 bytes.
    Fixed64,
    /// Bytes of any value.
    Bytes,
    /// UTF-8.
    Text,
    /// A message.
    Message(&'static Message),
    /// A message that counts as one item.
    Item(&'static Message),
    /// Repeated varints, packed or not.
    Varints,
    /// Repeated 8-byte values, packed or not.
    Fixed64s,
}

/// One more than the largest field number of any message.
const NUMBERS: usize = 17;

/// A message type.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: &'static str,
    /// By field number: looking in a list would cost more than all other work on a short field.
    kinds: [Kind; NUMBERS],
    /// Number and name of each field.
    fields: &'static [(u32, &'static str)],
}

impl Message {
    /// What the field `number` holds.
    pub(super) fn kind(&self, number: u32) -> Kind {
        match self.kinds.get(number as usize) {
            Some(kind) => *kind,
            None => Kind::Unknown,
        }
    }

    /// The name of the field `number`.
    pub(super) fn field_name(&self, number: u32) -> Option<&'static str> {
        let field = self.fields.iter().find(|(own, _)| *own == number);
        field.map(|(_, name)| *name)
    }
}

const fn by_number(fields: &[(u32, Kind)]) -> [Kind; NUMBERS] {
    let mut kinds = [Kind::Unknown; NUMBERS];
    let mut index = 0;
    while index < fields.len() {
        kinds[fields[index].0 as usize] = fields[index].1;
        index += 1;
    }
    kinds
}

/// The request of a signal.
pub(super) fn request(signal: Signal) -> &'static Message {
    match signal {
        Signal::Traces => &TRACES_REQUEST,
        Signal::Metrics => &METRICS_REQUEST,
        Signal::Logs => &LOGS_REQUEST,
    }
}

macro_rules! messages {
    ($($constant:ident $name:literal { $($number:literal $field:literal $kind:expr;)* })*) => {
        $(static $constant: Message = Message {
            name: $name,
            kinds: by_number(&[$(($number, $kind)),*]),
            fields: &[$(($number, $field)),*],
        };)*
    };
}

use Kind::{Bytes, Fixed32, Fixed64, Fixed64s, Item, Text, Varint, Varints};

/// A message that is no item.
const fn of(message: &'static Message) -> Kind {
    Kind::Message(message)
}

messages! {
    TRACES_REQUEST "ExportTraceServiceRequest" { 1 "resource_spans" of(&RESOURCE_SPANS); }
    RESOURCE_SPANS "ResourceSpans" {
        1 "resource" of(&RESOURCE);
        2 "scope_spans" of(&SCOPE_SPANS);
        3 "schema_url" Text;
    }
    SCOPE_SPANS "ScopeSpans" {
        1 "scope" of(&SCOPE);
        2 "spans" Item(&SPAN);
        3 "schema_url" Text;
    }
    SPAN "Span" {
        1 "trace_id" Bytes;
        2 "span_id" Bytes;
        3 "trace_state" Text;
        4 "parent_span_id" Bytes;
        5 "name" Text;
        6 "kind" Varint;
        7 "start_time_unix_nano" Fixed64;
        8 "end_time_unix_nano" Fixed64;
        9 "attributes" of(&KEY_VALUE);
        10 "dropped_attributes_count" Varint;
        11 "events" of(&SPAN_EVENT);
        12 "dropped_events_count" Varint;
        13 "links" of(&SPAN_LINK);
        14 "dropped_links_count" Varint;
        15 "status" of(&STATUS);
        16 "flags" Fixed32;
    }
    SPAN_EVENT "Span.Event" {
        1 "time_unix_nano" Fixed64;
        2 "name" Text;
        3 "attributes" of(&KEY_VALUE);
        4 "dropped_attributes_count" Varint;
    }
    SPAN_LINK "Span.Link" {
        1 "trace_id" Bytes;
        2 "span_id" Bytes;
        3 "trace_state" Text;
        4 "attributes" of(&KEY_VALUE);
        5 "dropped_attributes_count" Varint;
        6 "flags" Fixed32;
    }
    STATUS "Status" { 2 "message" Text; 3 "code" Varint; }

    METRICS_REQUEST "ExportMetricsServiceRequest" { 1 "resource_metrics" of(&RESOURCE_METRICS); }
    RESOURCE_METRICS "ResourceMetrics" {
        1 "resource" of(&RESOURCE);
        2 "scope_metrics" of(&SCOPE_METRICS);
        3 "schema_url" Text;
    }
    SCOPE_METRICS "ScopeMetrics" {
        1 "scope" of(&SCOPE);
        2 "metrics" of(&METRIC);
        3 "schema_url" Text;
    }
    METRIC "Metric" {
        1 "name" Text;
        2 "description" Text;
        3 "unit" Text;
        5 "gauge" of(&GAUGE);
        7 "sum" of(&SUM);
        9 "histogram" of(&HISTOGRAM);
        10 "exponential_histogram" of(&EXPONENTIAL_HISTOGRAM);
        11 "summary" of(&SUMMARY);
        12 "metadata" of(&KEY_VALUE);
    }
    GAUGE "Gauge" { 1 "data_points" Item(&NUMBER_POINT); }
    SUM "Sum" {
        1 "data_points" Item(&NUMBER_POINT);
        2 "aggregation_temporality" Varint;
        3 "is_monotonic" Varint;
    }
    HISTOGRAM "Histogram" {
        1 "data_points" Item(&HISTOGRAM_POINT);
        2 "aggregation_temporality" Varint;
    }
    EXPONENTIAL_HISTOGRAM "ExponentialHistogram" {
        1 "data_points" Item(&EXPONENTIAL_POINT);
        2 "aggregation_temporality" Varint;
    }
    SUMMARY "Summary" { 1 "data_points" Item(&SUMMARY_POINT); }
    NUMBER_POINT "NumberDataPoint" {
        2 "start_time_unix_nano" Fixed64;
        3 "time_unix_nano" Fixed64;
        4 "as_double" Fixed64;
        5 "exemplars" of(&EXEMPLAR);
        6 "as_int" Fixed64;
        7 "attributes" of(&KEY_VALUE);
        8 "flags" Varint;
    }
    HISTOGRAM_POINT "HistogramDataPoint" {
        2 "start_time_unix_nano" Fixed64;
        3 "time_unix_nano" Fixed64;
        4 "count" Fixed64;
        5 "sum" Fixed64;
        6 "bucket_counts" Fixed64s;
        7 "explicit_bounds" Fixed64s;
        8 "exemplars" of(&EXEMPLAR);
        9 "attributes" of(&KEY_VALUE);
        10 "flags" Varint;
        11 "min" Fixed64;
        12 "max" Fixed64;
    }
    EXPONENTIAL_POINT "ExponentialHistogramDataPoint" {
        1 "attributes" of(&KEY_VALUE);
        2 "start_time_unix_nano" Fixed64;
        3 "time_unix_nano" Fixed64;
        4 "count" Fixed64;
        5 "sum" Fixed64;
        6 "scale" Varint;
        7 "zero_count" Fixed64;
        8 "positive" of(&BUCKETS);
        9 "negative" of(&BUCKETS);
        10 "flags" Varint;
        11 "exemplars" of(&EXEMPLAR);
        12 "min" Fixed64;
        13 "max" Fixed64;
        14 "zero_threshold" Fixed64;
    }
    BUCKETS "ExponentialHistogramDataPoint.Buckets" {
        1 "offset" Varint;
        2 "bucket_counts" Varints;
    }
    SUMMARY_POINT "SummaryDataPoint" {
        2 "start_time_unix_nano" Fixed64;
        3 "time_unix_nano" Fixed64;
        4 "count" Fixed64;
        5 "sum" Fixed64;
        6 "quantile_values" of(&QUANTILE);
        7 "attributes" of(&KEY_VALUE);
        8 "flags" Varint;
    }
    QUANTILE "SummaryDataPoint.ValueAtQuantile" { 1 "quantile" Fixed64; 2 "value" Fixed64; }
    EXEMPLAR "Exemplar" {
        2 "time_unix_nano" Fixed64;
        3 "as_double" Fixed64;
        4 "span_id" Bytes;
        5 "trace_id" Bytes;
        6 "as_int" Fixed64;
        7 "filtered_attributes" of(&KEY_VALUE);
    }

    LOGS_REQUEST "ExportLogsServiceRequest" { 1 "resource_logs" of(&RESOURCE_LOGS); }
    RESOURCE_LOGS "ResourceLogs" {
        1 "resource" of(&RESOURCE);
        2 "scope_logs" of(&SCOPE_LOGS);
        3 "schema_url" Text;
    }
    SCOPE_LOGS "ScopeLogs" {
        1 "scope" of(&SCOPE);
        2 "log_records" Item(&LOG_RECORD);
        3 "schema_url" Text;
    }
    LOG_RECORD "LogRecord" {
        1 "time_unix_nano" Fixed64;
        2 "severity_number" Varint;
        3 "severity_text" Text;
        5 "body" of(&ANY_VALUE);
        6 "attributes" of(&KEY_VALUE);
        7 "dropped_attributes_count" Varint;
        8 "flags" Fixed32;
        9 "trace_id" Bytes;
        10 "span_id" Bytes;
        11 "observed_time_unix_nano" Fixed64;
        12 "event_name" Text;
    }

    RESOURCE "Resource" {
        1 "attributes" of(&KEY_VALUE);
        2 "dropped_attributes_count" Varint;
        3 "entity_refs" of(&ENTITY_REF);
    }
    ENTITY_REF "EntityRef" {
        1 "schema_url" Text;
        2 "type" Text;
        3 "id_keys" Text;
        4 "description_keys" Text;
    }
    SCOPE "InstrumentationScope" {
        1 "name" Text;
        2 "version" Text;
        3 "attributes" of(&KEY_VALUE);
        4 "dropped_attributes_count" Varint;
    }
    KEY_VALUE "KeyValue" { 1 "key" Text; 2 "value" of(&ANY_VALUE); 3 "key_strindex" Varint; }
    ANY_VALUE "AnyValue" {
        1 "string_value" Text;
        2 "bool_value" Varint;
        3 "int_value" Varint;
        4 "double_value" Fixed64;
        5 "array_value" of(&ARRAY);
        6 "kvlist_value" of(&KEY_VALUES);
        7 "bytes_value" Bytes;
        8 "string_value_strindex" Varint;
    }
    ARRAY "ArrayValue" { 1 "values" of(&ANY_VALUE); }
    KEY_VALUES "KeyValueList" { 1 "values" of(&KEY_VALUE); }
}
