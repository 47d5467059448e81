//! Reads spans from the bytes of a request, without allocating or copying.

use super::{
    Attributes, OtlpBatch, ResourceRef, ScopeRef, Signal,
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
    /// The resource.
    pub const fn resource(&self) -> ResourceRef<'a> {
        ResourceRef(self.0)
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
    /// The scope.
    pub const fn scope(&self) -> ScopeRef<'a> {
        ScopeRef(self.0)
    }

    /// Its spans.
    pub fn spans(&self) -> impl Iterator<Item = Span<'a>> + Clone + use<'a> {
        Occurrences::of(2, self.0).map(|raw| Span::read(raw.bytes()))
    }
}

/// A span.
#[derive(Debug, Clone, Default)]
pub struct Span<'a> {
    /// The trace; 16 bytes if the sender keeps to the protocol.
    pub trace_id: &'a [u8],
    /// The span; 8 bytes likewise.
    pub span_id: &'a [u8],
    /// The span that it is part of; empty for the first of a trace.
    pub parent_span_id: &'a [u8],
    /// The W3C `tracestate`.
    pub trace_state: &'a str,
    /// W3C trace flags in the lowest 8 bits, and two that say whether the parent is remote.
    pub flags: u32,
    /// The name.
    pub name: &'a str,
    /// 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer; or what the sender made up.
    pub kind: i32,
    /// When it began: nanoseconds since the epoch, 0 if not given.
    pub start: u64,
    /// When it ended: nanoseconds since the epoch, 0 if not given.
    pub end: u64,
    /// How many attributes the sender has left out.
    pub dropped_attributes_count: u32,
    /// How many events the sender has left out.
    pub dropped_events_count: u32,
    /// How many links the sender has left out.
    pub dropped_links_count: u32,
    /// How it ended; `None` if nothing was said.
    pub status: Option<Status<'a>>,
    message: &'a [u8],
}

/// How a span ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status<'a> {
    /// 0 unset, 1 ok, 2 error; or what the sender made up.
    pub code: i32,
    /// What went wrong.
    pub message: &'a str,
}

impl<'a> Span<'a> {
    pub(super) fn read(message: &'a [u8]) -> Self {
        let mut span = Self {
            message,
            ..Self::default()
        };
        for (number, raw) in Fields::of(message) {
            match number {
                1 => span.trace_id = raw.bytes(),
                2 => span.span_id = raw.bytes(),
                3 => span.trace_state = raw.text(),
                4 => span.parent_span_id = raw.bytes(),
                5 => span.name = raw.text(),
                6 => span.kind = raw.varint32().cast_signed(),
                7 => span.start = raw.fixed64(),
                8 => span.end = raw.fixed64(),
                10 => span.dropped_attributes_count = raw.varint32(),
                12 => span.dropped_events_count = raw.varint32(),
                14 => span.dropped_links_count = raw.varint32(),
                15 => span.status.get_or_insert_default().read(raw.bytes()),
                16 => span.flags = raw.fixed32(),
                _ => {}
            }
        }
        span
    }

    /// Its attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::of(9, self.message)
    }

    /// What happened during it.
    pub fn events(&self) -> impl Iterator<Item = Event<'a>> + Clone + use<'a> {
        Occurrences::of(11, self.message).map(|raw| Event::read(raw.bytes()))
    }

    /// Spans of this or other traces that it has to do with.
    pub fn links(&self) -> impl Iterator<Item = Link<'a>> + Clone + use<'a> {
        Occurrences::of(13, self.message).map(|raw| Link::read(raw.bytes()))
    }
}

impl<'a> Status<'a> {
    fn read(&mut self, message: &'a [u8]) {
        for (number, raw) in Fields::of(message) {
            match number {
                2 => self.message = raw.text(),
                3 => self.code = raw.varint32().cast_signed(),
                _ => {}
            }
        }
    }
}

/// What happened during a span.
#[derive(Debug, Clone, Default)]
pub struct Event<'a> {
    /// When: nanoseconds since the epoch, 0 if not given.
    pub time: u64,
    /// What.
    pub name: &'a str,
    /// How many attributes the sender has left out.
    pub dropped_attributes_count: u32,
    message: &'a [u8],
}

impl<'a> Event<'a> {
    fn read(message: &'a [u8]) -> Self {
        let mut event = Self {
            message,
            ..Self::default()
        };
        for (number, raw) in Fields::of(message) {
            match number {
                1 => event.time = raw.fixed64(),
                2 => event.name = raw.text(),
                4 => event.dropped_attributes_count = raw.varint32(),
                _ => {}
            }
        }
        event
    }

    /// Its attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::of(3, self.message)
    }
}

/// A span that another has to do with.
#[derive(Debug, Clone, Default)]
pub struct Link<'a> {
    /// Its trace.
    pub trace_id: &'a [u8],
    /// The span.
    pub span_id: &'a [u8],
    /// The W3C `tracestate`.
    pub trace_state: &'a str,
    /// How many attributes the sender has left out.
    pub dropped_attributes_count: u32,
    /// As [`Span::flags`].
    pub flags: u32,
    message: &'a [u8],
}

impl<'a> Link<'a> {
    fn read(message: &'a [u8]) -> Self {
        let mut link = Self {
            message,
            ..Self::default()
        };
        for (number, raw) in Fields::of(message) {
            match number {
                1 => link.trace_id = raw.bytes(),
                2 => link.span_id = raw.bytes(),
                3 => link.trace_state = raw.text(),
                5 => link.dropped_attributes_count = raw.varint32(),
                6 => link.flags = raw.fixed32(),
                _ => {}
            }
        }
        link
    }

    /// Its attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::of(4, self.message)
    }
}
