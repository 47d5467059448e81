//! Reads log records from the bytes of a request, without allocating or copying.

use super::{
    AnyValue, Attributes, OtlpBatch, ResourceRef, ScopeRef, Signal,
    fields::{Fields, Occurrences},
};

impl OtlpBatch {
    /// The log records by resource; none if the batch carries another signal.
    pub fn resource_logs(&self) -> impl Iterator<Item = ResourceLogs<'_>> + Clone {
        let bytes: &[u8] = match self.signal() {
            Signal::Logs => self.bytes(),
            Signal::Metrics | Signal::Traces => &[],
        };
        Occurrences::of(1, bytes).map(|raw| ResourceLogs(raw.bytes()))
    }
}

/// The log records of one resource.
#[derive(Debug, Clone, Copy)]
pub struct ResourceLogs<'a>(&'a [u8]);

impl<'a> ResourceLogs<'a> {
    /// The resource.
    pub const fn resource(&self) -> ResourceRef<'a> {
        ResourceRef(self.0)
    }

    /// Its log records by instrumentation scope.
    pub fn scopes(&self) -> impl Iterator<Item = ScopeLogs<'a>> + Clone + use<'a> {
        Occurrences::of(2, self.0).map(|raw| ScopeLogs(raw.bytes()))
    }
}

/// The log records of one instrumentation scope.
#[derive(Debug, Clone, Copy)]
pub struct ScopeLogs<'a>(&'a [u8]);

impl<'a> ScopeLogs<'a> {
    /// The scope.
    pub const fn scope(&self) -> ScopeRef<'a> {
        ScopeRef(self.0)
    }

    /// Its log records.
    pub fn records(&self) -> impl Iterator<Item = LogRecord<'a>> + Clone + use<'a> {
        Occurrences::of(2, self.0).map(|raw| LogRecord::read(raw.bytes()))
    }
}

/// A log record.
#[derive(Debug, Clone)]
pub struct LogRecord<'a> {
    /// When it happened: nanoseconds since the epoch, 0 if not known.
    pub time: u64,
    /// When it was seen by OpenTelemetry: nanoseconds since the epoch, 0 if not given.
    pub observed_time: u64,
    /// 1 to 4 trace, to 8 debug, to 12 info, to 16 warn, to 20 error, to 24 fatal; 0 if not given.
    pub severity_number: i32,
    /// The severity in the words of its source.
    pub severity_text: &'a str,
    /// What was said.
    pub body: AnyValue<'a>,
    /// How many attributes the sender has left out.
    pub dropped_attributes_count: u32,
    /// W3C trace flags in the lowest 8 bits.
    pub flags: u32,
    /// The trace it belongs to; empty for none.
    pub trace_id: &'a [u8],
    /// The span it belongs to; empty for none.
    pub span_id: &'a [u8],
    /// The kind of event, for records that are events.
    pub event_name: &'a str,
    message: &'a [u8],
}

impl<'a> LogRecord<'a> {
    pub(super) fn read(message: &'a [u8]) -> Self {
        let mut record = Self {
            time: 0,
            observed_time: 0,
            severity_number: 0,
            severity_text: "",
            body: AnyValue::Empty,
            dropped_attributes_count: 0,
            flags: 0,
            trace_id: &[],
            span_id: &[],
            event_name: "",
            message,
        };
        for (number, raw) in Fields::of(message) {
            match number {
                1 => record.time = raw.fixed64(),
                2 => record.severity_number = raw.varint32().cast_signed(),
                3 => record.severity_text = raw.text(),
                5 => record.body.read(raw.bytes()),
                7 => record.dropped_attributes_count = raw.varint32(),
                8 => record.flags = raw.fixed32(),
                9 => record.trace_id = raw.bytes(),
                10 => record.span_id = raw.bytes(),
                11 => record.observed_time = raw.fixed64(),
                12 => record.event_name = raw.text(),
                _ => {}
            }
        }
        record
    }

    /// Its attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::of(6, self.message)
    }
}
