//! Reads spans from the bytes of a request, without allocating or copying.

use super::{
    Attributes, OtlpBatch, Signal,
    fields::{Fields, Occurrences},
};

impl OtlpBatch {
    /// The spans by resource; none if the batch carries another signal.
    pub fn resource_spans(&self) -> impl Iterator<Item = ResourceSpans<'_>> + Clone {
        let bytes: &[u8] = match self.signal() {
            Signal::Traces => self.bytes(),
            Signal::Metrics | Signal::Logs => &[],
        };
        Occurrences::of(1, bytes).map(|raw| ResourceSpans(raw.bytes()))
    }
}

/// The spans of one resource.
#[derive(Debug, Clone, Copy)]
pub struct ResourceSpans<'a>(&'a [u8]);

impl<'a> ResourceSpans<'a> {
    /// The attributes of the resource.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::nested(1, 1, self.0)
    }

    /// Its spans by instrumentation scope.
    pub fn scopes(&self) -> impl Iterator<Item = ScopeSpans<'a>> + Clone + use<'a> {
        Occurrences::of(2, self.0).map(|raw| ScopeSpans(raw.bytes()))
    }
}

/// The spans of one instrumentation scope.
#[derive(Debug, Clone, Copy)]
pub struct ScopeSpans<'a>(&'a [u8]);

impl<'a> ScopeSpans<'a> {
    /// Its spans.
    pub fn spans(&self) -> impl Iterator<Item = Span<'a>> + Clone + use<'a> {
        Occurrences::of(2, self.0).map(|raw| Span::read(raw.bytes()))
    }
}

/// What a span is to the other side of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SpanKind {
    /// Not given, or not known.
    #[default]
    Unspecified,
    /// There is no other side.
    Internal,
    /// It answers.
    Server,
    /// It asks.
    Client,
    /// It sends.
    Producer,
    /// It receives.
    Consumer,
}

/// How a span ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StatusCode {
    /// Nobody said, or what was said is not known.
    #[default]
    Unset,
    /// Well.
    Ok,
    /// Not well.
    Error,
}

/// A span.
#[derive(Debug, Clone)]
pub struct Span<'a> {
    /// The trace it belongs to; 16 bytes, if it is right.
    pub trace_id: &'a [u8],
    /// Its own number; 8 bytes, if it is right.
    pub span_id: &'a [u8],
    /// Its name.
    pub name: &'a str,
    /// Its kind.
    pub kind: SpanKind,
    /// When it began: nanoseconds since the epoch.
    pub start: u64,
    /// When it ended: nanoseconds since the epoch.
    pub end: u64,
    /// How it ended.
    pub status: StatusCode,
    message: &'a [u8],
}

impl<'a> Span<'a> {
    #[inline]
    fn read(message: &'a [u8]) -> Self {
        let mut span = Self {
            trace_id: &[],
            span_id: &[],
            name: "",
            kind: SpanKind::default(),
            start: 0,
            end: 0,
            status: StatusCode::default(),
            message,
        };
        for (number, raw) in Fields::of(message) {
            match number {
                1 => span.trace_id = raw.bytes(),
                2 => span.span_id = raw.bytes(),
                5 => span.name = raw.text(),
                6 => span.kind = SpanKind::read(raw.varint()),
                7 => span.start = raw.fixed64(),
                8 => span.end = raw.fixed64(),
                15 => {
                    for (number, raw) in Fields::of(raw.bytes()) {
                        if number == 3 {
                            span.status = StatusCode::read(raw.varint());
                        }
                    }
                }
                _ => {}
            }
        }
        span
    }

    /// Its attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::of(9, self.message)
    }
}

impl SpanKind {
    const fn read(number: u64) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }
}

impl StatusCode {
    const fn read(number: u64) -> Self {
        match number {
            1 => Self::Ok,
            2 => Self::Error,
            _ => Self::Unset,
        }
    }
}
