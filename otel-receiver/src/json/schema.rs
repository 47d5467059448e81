//! The messages of OTLP 1.x as OTLP/JSON writes them: the name of each field, its number and its type.
//!
//! Source: `opentelemetry/proto/*/v1/*.proto` of opentelemetry-proto, and the OTLP specification for ids.

use weir_point::otlp::Signal;

/// A single value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar {
    Bool,
    /// Also enums: OTLP/JSON writes them as numbers.
    Int32,
    Sint32,
    Uint32,
    Fixed32,
    Int64,
    Uint64,
    Sfixed64,
    Fixed64,
    Double,
    Text,
    /// Bytes in hexadecimal: trace and span ids.
    Hex,
    /// Bytes in base64.
    Base64,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// One value; zero and nothing are the same.
    Value(Scalar),
    /// One value, where zero is something else than nothing.
    Chosen(Scalar),
    /// Any number of values.
    List(Scalar),
    /// A message.
    One(&'static Message),
    /// Any number of messages.
    Many(&'static Message),
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// A message type.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
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
            fields: &[$(Field { number: $number, name: $field, kind: $kind }),*],
        };)*
    };
}

use Kind::{Chosen, List, Many, One, Value};
use Scalar::{
    Base64, Bool, Double, Fixed32, Fixed64, Hex, Int32, Int64, Sfixed64, Sint32, Text, Uint32,
    Uint64,
};

messages! {
    TRACES_REQUEST "ExportTraceServiceRequest" { 1 "resourceSpans" Many(&RESOURCE_SPANS); }
    RESOURCE_SPANS "ResourceSpans" {
        1 "resource" One(&RESOURCE);
        2 "scopeSpans" Many(&SCOPE_SPANS);
        3 "schemaUrl" Value(Text);
    }
    SCOPE_SPANS "ScopeSpans" {
        1 "scope" One(&SCOPE);
        2 "spans" Many(&SPAN);
        3 "schemaUrl" Value(Text);
    }
    SPAN "Span" {
        1 "traceId" Value(Hex);
        2 "spanId" Value(Hex);
        3 "traceState" Value(Text);
        4 "parentSpanId" Value(Hex);
        5 "name" Value(Text);
        6 "kind" Value(Int32);
        7 "startTimeUnixNano" Value(Fixed64);
        8 "endTimeUnixNano" Value(Fixed64);
        9 "attributes" Many(&KEY_VALUE);
        10 "droppedAttributesCount" Value(Uint32);
        11 "events" Many(&SPAN_EVENT);
        12 "droppedEventsCount" Value(Uint32);
        13 "links" Many(&SPAN_LINK);
        14 "droppedLinksCount" Value(Uint32);
        15 "status" One(&STATUS);
        16 "flags" Value(Fixed32);
    }
    SPAN_EVENT "Span.Event" {
        1 "timeUnixNano" Value(Fixed64);
        2 "name" Value(Text);
        3 "attributes" Many(&KEY_VALUE);
        4 "droppedAttributesCount" Value(Uint32);
    }
    SPAN_LINK "Span.Link" {
        1 "traceId" Value(Hex);
        2 "spanId" Value(Hex);
        3 "traceState" Value(Text);
        4 "attributes" Many(&KEY_VALUE);
        5 "droppedAttributesCount" Value(Uint32);
        6 "flags" Value(Fixed32);
    }
    STATUS "Status" { 2 "message" Value(Text); 3 "code" Value(Int32); }

    METRICS_REQUEST "ExportMetricsServiceRequest" { 1 "resourceMetrics" Many(&RESOURCE_METRICS); }
    RESOURCE_METRICS "ResourceMetrics" {
        1 "resource" One(&RESOURCE);
        2 "scopeMetrics" Many(&SCOPE_METRICS);
        3 "schemaUrl" Value(Text);
    }
    SCOPE_METRICS "ScopeMetrics" {
        1 "scope" One(&SCOPE);
        2 "metrics" Many(&METRIC);
        3 "schemaUrl" Value(Text);
    }
    METRIC "Metric" {
        1 "name" Value(Text);
        2 "description" Value(Text);
        3 "unit" Value(Text);
        5 "gauge" One(&GAUGE);
        7 "sum" One(&SUM);
        9 "histogram" One(&HISTOGRAM);
        10 "exponentialHistogram" One(&EXPONENTIAL_HISTOGRAM);
        11 "summary" One(&SUMMARY);
        12 "metadata" Many(&KEY_VALUE);
    }
    GAUGE "Gauge" { 1 "dataPoints" Many(&NUMBER_POINT); }
    SUM "Sum" {
        1 "dataPoints" Many(&NUMBER_POINT);
        2 "aggregationTemporality" Value(Int32);
        3 "isMonotonic" Value(Bool);
    }
    HISTOGRAM "Histogram" {
        1 "dataPoints" Many(&HISTOGRAM_POINT);
        2 "aggregationTemporality" Value(Int32);
    }
    EXPONENTIAL_HISTOGRAM "ExponentialHistogram" {
        1 "dataPoints" Many(&EXPONENTIAL_POINT);
        2 "aggregationTemporality" Value(Int32);
    }
    SUMMARY "Summary" { 1 "dataPoints" Many(&SUMMARY_POINT); }
    NUMBER_POINT "NumberDataPoint" {
        2 "startTimeUnixNano" Value(Fixed64);
        3 "timeUnixNano" Value(Fixed64);
        4 "asDouble" Chosen(Double);
        5 "exemplars" Many(&EXEMPLAR);
        6 "asInt" Chosen(Sfixed64);
        7 "attributes" Many(&KEY_VALUE);
        8 "flags" Value(Uint32);
    }
    HISTOGRAM_POINT "HistogramDataPoint" {
        2 "startTimeUnixNano" Value(Fixed64);
        3 "timeUnixNano" Value(Fixed64);
        4 "count" Value(Fixed64);
        5 "sum" Chosen(Double);
        6 "bucketCounts" List(Fixed64);
        7 "explicitBounds" List(Double);
        8 "exemplars" Many(&EXEMPLAR);
        9 "attributes" Many(&KEY_VALUE);
        10 "flags" Value(Uint32);
        11 "min" Chosen(Double);
        12 "max" Chosen(Double);
    }
    EXPONENTIAL_POINT "ExponentialHistogramDataPoint" {
        1 "attributes" Many(&KEY_VALUE);
        2 "startTimeUnixNano" Value(Fixed64);
        3 "timeUnixNano" Value(Fixed64);
        4 "count" Value(Fixed64);
        5 "sum" Chosen(Double);
        6 "scale" Value(Sint32);
        7 "zeroCount" Value(Fixed64);
        8 "positive" One(&BUCKETS);
        9 "negative" One(&BUCKETS);
        10 "flags" Value(Uint32);
        11 "exemplars" Many(&EXEMPLAR);
        12 "min" Chosen(Double);
        13 "max" Chosen(Double);
        14 "zeroThreshold" Value(Double);
    }
    BUCKETS "ExponentialHistogramDataPoint.Buckets" {
        1 "offset" Value(Sint32);
        2 "bucketCounts" List(Uint64);
    }
    SUMMARY_POINT "SummaryDataPoint" {
        2 "startTimeUnixNano" Value(Fixed64);
        3 "timeUnixNano" Value(Fixed64);
        4 "count" Value(Fixed64);
        5 "sum" Value(Double);
        6 "quantileValues" Many(&QUANTILE);
        7 "attributes" Many(&KEY_VALUE);
        8 "flags" Value(Uint32);
    }
    QUANTILE "SummaryDataPoint.ValueAtQuantile" {
        1 "quantile" Value(Double);
        2 "value" Value(Double);
    }
    EXEMPLAR "Exemplar" {
        2 "timeUnixNano" Value(Fixed64);
        3 "asDouble" Chosen(Double);
        4 "spanId" Value(Hex);
        5 "traceId" Value(Hex);
        6 "asInt" Chosen(Sfixed64);
        7 "filteredAttributes" Many(&KEY_VALUE);
    }

    LOGS_REQUEST "ExportLogsServiceRequest" { 1 "resourceLogs" Many(&RESOURCE_LOGS); }
    RESOURCE_LOGS "ResourceLogs" {
        1 "resource" One(&RESOURCE);
        2 "scopeLogs" Many(&SCOPE_LOGS);
        3 "schemaUrl" Value(Text);
    }
    SCOPE_LOGS "ScopeLogs" {
        1 "scope" One(&SCOPE);
        2 "logRecords" Many(&LOG_RECORD);
        3 "schemaUrl" Value(Text);
    }
    LOG_RECORD "LogRecord" {
        1 "timeUnixNano" Value(Fixed64);
        2 "severityNumber" Value(Int32);
        3 "severityText" Value(Text);
        5 "body" One(&ANY_VALUE);
        6 "attributes" Many(&KEY_VALUE);
        7 "droppedAttributesCount" Value(Uint32);
        8 "flags" Value(Fixed32);
        9 "traceId" Value(Hex);
        10 "spanId" Value(Hex);
        11 "observedTimeUnixNano" Value(Fixed64);
        12 "eventName" Value(Text);
    }

    RESOURCE "Resource" {
        1 "attributes" Many(&KEY_VALUE);
        2 "droppedAttributesCount" Value(Uint32);
        3 "entityRefs" Many(&ENTITY_REF);
    }
    ENTITY_REF "EntityRef" {
        1 "schemaUrl" Value(Text);
        2 "type" Value(Text);
        3 "idKeys" List(Text);
        4 "descriptionKeys" List(Text);
    }
    SCOPE "InstrumentationScope" {
        1 "name" Value(Text);
        2 "version" Value(Text);
        3 "attributes" Many(&KEY_VALUE);
        4 "droppedAttributesCount" Value(Uint32);
    }
    KEY_VALUE "KeyValue" {
        1 "key" Value(Text);
        2 "value" One(&ANY_VALUE);
        3 "keyStrindex" Value(Int32);
    }
    ANY_VALUE "AnyValue" {
        1 "stringValue" Chosen(Text);
        2 "boolValue" Chosen(Bool);
        3 "intValue" Chosen(Int64);
        4 "doubleValue" Chosen(Double);
        5 "arrayValue" One(&ARRAY);
        6 "kvlistValue" One(&KEY_VALUES);
        7 "bytesValue" Chosen(Base64);
        8 "stringValueStrindex" Chosen(Int32);
    }
    ARRAY "ArrayValue" { 1 "values" Many(&ANY_VALUE); }
    KEY_VALUES "KeyValueList" { 1 "values" Many(&KEY_VALUE); }
}
