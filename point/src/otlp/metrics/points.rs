//! The data points of each kind of metric.

use crate::otlp::{
    Attributes,
    fields::{Fields, Nested, Numbers, Occurrences},
};

/// Set where a series has ended: the point has no value.
const NO_RECORDED_VALUE: u32 = 1;

/// A measured number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// An integer.
    Int(i64),
    /// A float.
    Double(f64),
}

macro_rules! iterators {
    ($($(#[$doc:meta])* $iterator:ident => $point:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone)]
            pub struct $iterator<'a>(pub(super) Nested<'a>);

            impl<'a> Iterator for $iterator<'a> {
                type Item = $point<'a>;

                #[inline]
                fn next(&mut self) -> Option<Self::Item> {
                    self.0.next().map(|raw| $point::read(raw.bytes()))
                }
            }
        )*
    };
}

iterators! {
    /// Iterates over the points of gauges and sums.
    NumberPoints => NumberPoint;
    /// Iterates over histograms.
    HistogramPoints => HistogramPoint;
    /// Iterates over exponential histograms.
    ExponentialPoints => ExponentialPoint;
    /// Iterates over summaries.
    SummaryPoints => SummaryPoint;
}

/// What every data point has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// Where the measured time begins: nanoseconds since the epoch, 0 if not given.
    pub start: u64,
    /// When it was measured: nanoseconds since the epoch, 0 if not given.
    pub time: u64,
    /// Whether the series has ended, so that the point has no value.
    pub no_recorded_value: bool,
    /// All flags; [`Self::no_recorded_value`] is the lowest bit.
    pub flags: u32,
}

impl Span {
    fn set_flags(&mut self, flags: u32) {
        self.flags = flags;
        self.no_recorded_value = flags & NO_RECORDED_VALUE != 0;
    }
}

/// A point of a gauge or a sum.
#[derive(Debug, Clone)]
pub struct NumberPoint<'a> {
    /// Its times.
    pub span: Span,
    /// Its value.
    pub value: Option<Number>,
    message: &'a [u8],
}

impl<'a> NumberPoint<'a> {
    #[inline]
    pub(in crate::otlp) fn read(message: &'a [u8]) -> Self {
        let (mut span, mut value) = (Span::default(), None);
        for (number, raw) in Fields::of(message) {
            match number {
                2 => span.start = raw.fixed64(),
                3 => span.time = raw.fixed64(),
                4 => value = Some(Number::Double(raw.double())),
                6 => value = Some(Number::Int(raw.fixed64().cast_signed())),
                8 => span.set_flags(raw.varint32()),
                _ => {}
            }
        }
        Self {
            span,
            value,
            message,
        }
    }

    /// Its attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::of(7, self.message)
    }

    /// Examples of what was measured.
    pub fn exemplars(&self) -> impl Iterator<Item = Exemplar<'a>> + Clone + use<'a> {
        exemplars(5, self.message)
    }
}

/// A histogram with buckets of its own.
#[derive(Debug, Clone)]
pub struct HistogramPoint<'a> {
    /// Its times.
    pub span: Span,
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// The least of them.
    pub min: Option<f64>,
    /// The greatest of them.
    pub max: Option<f64>,
    message: &'a [u8],
}

impl<'a> HistogramPoint<'a> {
    pub(in crate::otlp) fn read(message: &'a [u8]) -> Self {
        let mut point = Self {
            span: Span::default(),
            count: 0,
            sum: None,
            min: None,
            max: None,
            message,
        };
        for (number, raw) in Fields::of(message) {
            match number {
                2 => point.span.start = raw.fixed64(),
                3 => point.span.time = raw.fixed64(),
                4 => point.count = raw.fixed64(),
                5 => point.sum = Some(raw.double()),
                10 => point.span.set_flags(raw.varint32()),
                11 => point.min = Some(raw.double()),
                12 => point.max = Some(raw.double()),
                _ => {}
            }
        }
        point
    }

    /// How many values are in each bucket; one more than [`Self::bounds`], or none at all.
    pub fn counts(&self) -> impl Iterator<Item = u64> + Clone + use<'a> {
        Numbers::fixed64s(Occurrences::of(6, self.message))
    }

    /// The upper bound of each bucket but the last; a value equal to it is inside.
    pub fn bounds(&self) -> impl Iterator<Item = f64> + Clone + use<'a> {
        Numbers::fixed64s(Occurrences::of(7, self.message)).map(f64::from_bits)
    }

    /// Its attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::of(9, self.message)
    }

    /// Examples of what was measured.
    pub fn exemplars(&self) -> impl Iterator<Item = Exemplar<'a>> + Clone + use<'a> {
        exemplars(8, self.message)
    }
}

/// A histogram whose bucket `i` holds values greater than `b^i` up to `b^(i + 1)`, where `b` is
/// `2^(2^-scale)`.
#[derive(Debug, Clone)]
pub struct ExponentialPoint<'a> {
    /// Its times.
    pub span: Span,
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// The least of them.
    pub min: Option<f64>,
    /// The greatest of them.
    pub max: Option<f64>,
    /// How fine the buckets are.
    pub scale: i32,
    /// How many values are zero, or near.
    pub zero_count: u64,
    /// How near to zero counts as zero.
    pub zero_threshold: f64,
    message: &'a [u8],
}

impl<'a> ExponentialPoint<'a> {
    pub(in crate::otlp) fn read(message: &'a [u8]) -> Self {
        let mut point = Self {
            span: Span::default(),
            count: 0,
            sum: None,
            min: None,
            max: None,
            scale: 0,
            zero_count: 0,
            zero_threshold: 0.0,
            message,
        };
        for (number, raw) in Fields::of(message) {
            match number {
                2 => point.span.start = raw.fixed64(),
                3 => point.span.time = raw.fixed64(),
                4 => point.count = raw.fixed64(),
                5 => point.sum = Some(raw.double()),
                6 => point.scale = raw.zigzag(),
                7 => point.zero_count = raw.fixed64(),
                10 => point.span.set_flags(raw.varint32()),
                12 => point.min = Some(raw.double()),
                13 => point.max = Some(raw.double()),
                14 => point.zero_threshold = raw.double(),
                _ => {}
            }
        }
        point
    }

    /// The buckets of values above zero.
    pub fn positive(&self) -> Buckets<'a> {
        Buckets::read(8, self.message)
    }

    /// The buckets of values below zero, by how far they are from it.
    pub fn negative(&self) -> Buckets<'a> {
        Buckets::read(9, self.message)
    }

    /// Its attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::of(1, self.message)
    }

    /// Examples of what was measured.
    pub fn exemplars(&self) -> impl Iterator<Item = Exemplar<'a>> + Clone + use<'a> {
        exemplars(11, self.message)
    }
}

/// One side of an exponential histogram.
#[derive(Debug, Clone)]
pub struct Buckets<'a> {
    /// The index of the first bucket.
    pub offset: i32,
    counts: Nested<'a>,
}

impl<'a> Buckets<'a> {
    fn read(number: u32, message: &'a [u8]) -> Self {
        let offset = Nested::of(number, 1, message).last();
        Self {
            offset: offset.map_or(0, |raw| raw.zigzag()),
            counts: Nested::of(number, 2, message),
        }
    }

    /// How many values are in each bucket.
    pub fn counts(&self) -> impl Iterator<Item = u64> + Clone + use<'a> {
        Numbers::varints(self.counts.clone())
    }
}

/// Quantiles of what was measured.
#[derive(Debug, Clone)]
pub struct SummaryPoint<'a> {
    /// Its times.
    pub span: Span,
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    message: &'a [u8],
}

impl<'a> SummaryPoint<'a> {
    pub(in crate::otlp) fn read(message: &'a [u8]) -> Self {
        let mut point = Self {
            span: Span::default(),
            count: 0,
            sum: 0.0,
            message,
        };
        for (number, raw) in Fields::of(message) {
            match number {
                2 => point.span.start = raw.fixed64(),
                3 => point.span.time = raw.fixed64(),
                4 => point.count = raw.fixed64(),
                5 => point.sum = raw.double(),
                8 => point.span.set_flags(raw.varint32()),
                _ => {}
            }
        }
        point
    }

    /// Each quantile, from 0 to 1, and its value.
    pub fn quantiles(&self) -> impl Iterator<Item = (f64, f64)> + Clone + use<'a> {
        Occurrences::of(6, self.message).map(|raw| {
            let mut quantile = (0.0, 0.0);
            for (number, raw) in Fields::of(raw.bytes()) {
                match number {
                    1 => quantile.0 = raw.double(),
                    2 => quantile.1 = raw.double(),
                    _ => {}
                }
            }
            quantile
        })
    }

    /// Its attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::of(7, self.message)
    }
}

/// One value that was measured, and where.
#[derive(Debug, Clone)]
pub struct Exemplar<'a> {
    /// When it was measured: nanoseconds since the epoch.
    pub time: u64,
    /// The value.
    pub value: Option<Number>,
    /// The span it was measured in; empty if none.
    pub span_id: &'a [u8],
    /// The trace it was measured in; empty if none.
    pub trace_id: &'a [u8],
    message: &'a [u8],
}

impl<'a> Exemplar<'a> {
    pub(in crate::otlp) fn read(message: &'a [u8]) -> Self {
        let mut exemplar = Self {
            time: 0,
            value: None,
            span_id: &[],
            trace_id: &[],
            message,
        };
        for (number, raw) in Fields::of(message) {
            match number {
                2 => exemplar.time = raw.fixed64(),
                3 => exemplar.value = Some(Number::Double(raw.double())),
                4 => exemplar.span_id = raw.bytes(),
                5 => exemplar.trace_id = raw.bytes(),
                6 => exemplar.value = Some(Number::Int(raw.fixed64().cast_signed())),
                _ => {}
            }
        }
        exemplar
    }

    /// The attributes that the data point does not have.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::of(7, self.message)
    }
}

fn exemplars(number: u32, message: &[u8]) -> impl Iterator<Item = Exemplar<'_>> + Clone {
    Occurrences::of(number, message).map(|raw| Exemplar::read(raw.bytes()))
}
