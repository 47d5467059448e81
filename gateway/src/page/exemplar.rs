//! Values that were measured somewhere in particular: the way from a metric to a trace.

use std::fmt::Write as _;

use crate::aggregate::push_label;

/// What OpenMetrics 1.0.0 grants the labels of an exemplar, names and values together, in
/// characters.
pub(crate) const LONGEST_LABELS: usize = 128;
const TRACE: &str = "trace_id";
const SPAN: &str = "span_id";

/// One value and where it was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// The value.
    pub value: f64,
    /// When: nanoseconds since the epoch, 0 if not known.
    pub time: u64,
    /// Zero if none.
    trace: [u8; 16],
    /// Zero if none.
    span: [u8; 8],
    /// More labels, as text; mostly none.
    more: Option<Box<str>>,
}

impl Exemplar {
    /// An exemplar without labels, if they are not of 16 and 8 bytes.
    pub fn new(value: f64, time: u64, trace: &[u8], span: &[u8]) -> Self {
        Self {
            value,
            time,
            trace: trace.try_into().unwrap_or_default(),
            span: span.try_into().unwrap_or_default(),
            more: None,
        }
    }

    /// How many characters the labels of the ids leave to others.
    pub(crate) fn room(&self) -> usize {
        let id = |name: &str, bytes: &[u8]| match is_set(bytes) {
            true => name.len() + 2 * bytes.len(),
            false => 0,
        };
        LONGEST_LABELS - id(TRACE, &self.trace) - id(SPAN, &self.span)
    }

    /// It has these labels, too, as they stand between the braces of the text format.
    pub(crate) fn with(self, labels: &str) -> Self {
        let more = (!labels.is_empty()).then(|| labels.into());
        Self { more, ..self }
    }

    /// Whether nothing says where it was measured.
    pub(crate) fn is_anonymous(&self) -> bool {
        !is_set(&self.trace) && !is_set(&self.span) && self.more.is_none()
    }

    /// Append its labels as they stand between the braces of the text format.
    pub(super) fn push_labels(&self, out: &mut String) {
        let start = out.len();
        let mut hex = String::new();
        for (name, id) in [(TRACE, &self.trace[..]), (SPAN, &self.span)] {
            if !is_set(id) {
                continue;
            }
            if out.len() > start {
                out.push(',');
            }
            hex.clear();
            for byte in id {
                write!(hex, "{byte:02x}").expect("a String takes everything");
            }
            push_label(name, &hex, out);
        }
        if let Some(more) = &self.more {
            if out.len() > start {
                out.push(',');
            }
            out.push_str(more);
        }
    }
}

fn is_set(id: &[u8]) -> bool {
    id.iter().any(|byte| *byte != 0)
}

/// The last exemplar of each bucket of a series, by value.
#[derive(Debug, Clone, Default)]
pub struct Exemplars {
    exemplars: Vec<Exemplar>,
    /// The bucket of each.
    buckets: Vec<i32>,
}

impl Exemplars {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.exemplars.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.exemplars.is_empty()
    }

    /// Whether there is one for `bucket`.
    pub fn has(&self, bucket: i32) -> bool {
        self.buckets.contains(&bucket)
    }

    /// All of them, by value.
    pub fn as_slice(&self) -> &[Exemplar] {
        &self.exemplars
    }

    /// Forget all.
    pub fn clear(&mut self) {
        self.exemplars.clear();
        self.buckets.clear();
    }

    /// Take `exemplar` in place of the one that `bucket` had before, unless that is later.
    pub fn take(&mut self, bucket: i32, exemplar: Exemplar) {
        let found = self.buckets.iter().position(|own| *own == bucket);
        let at = found.unwrap_or_else(|| {
            let higher = |own: &Exemplar| own.value <= exemplar.value;
            let at = self.exemplars.partition_point(higher);
            self.buckets.insert(at, bucket);
            self.exemplars.insert(at, exemplar.clone());
            at
        });
        if found.is_some() && self.exemplars[at].time <= exemplar.time {
            // Buckets do not overlap: in its bucket it is where the one before was.
            self.exemplars[at] = exemplar;
        }
    }
}
