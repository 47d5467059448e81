//! How the fields of OTLP's messages become fields of Points, and back: one table for both ways.

use super::metrics::{EXPONENTIAL, GAUGE, HISTOGRAM, SUM, SUMMARY};

/// A message as far as Points hold it; in the order of the field numbers.
#[derive(Debug)]
pub(super) struct Shape(pub(super) &'static [Field]);

/// One field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) slot: Slot,
    pub(super) form: Form,
}

/// Where a Point has it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    /// Its name.
    Name,
    /// Its time.
    Time,
    /// Where its time begins.
    Start,
    /// Text in its tags, all else in the field `attributes`.
    Attributes,
    /// The fields of the message are fields of the Point.
    Inline(&'static Shape),
    /// A field of this name.
    Field(&'static str),
}

/// How it is encoded.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// UTF-8.
    Text,
    /// Bytes, written as hexadecimal text.
    Hex,
    /// A 32-bit integer.
    Int32,
    /// A 32-bit count.
    Uint32,
    /// A 32-bit number with a sign of its own.
    Zigzag,
    /// 4 bytes.
    Fixed32,
    /// 8 bytes.
    Fixed64,
    /// A truth value.
    Bool,
    /// A float that is 0 if absent.
    Double,
    /// A float that may be absent.
    OptionalDouble,
    /// An integer of 8 bytes that shares its place with a float.
    EitherInt,
    /// The float.
    EitherDouble,
    /// Words for 1, 2 and so on; a number without a word stays a number.
    Words(&'static [&'static str]),
    /// Integers of 8 bytes.
    Fixed64s,
    /// Integers.
    Varints,
    /// Floats.
    Doubles,
    /// Attributes, text or not.
    Attributes,
    /// Any value.
    Any,
    /// A message.
    Message(&'static Shape),
    /// Messages.
    Messages(&'static Shape),
}

impl Shape {
    /// The field `number` and its place in the shape.
    #[inline]
    pub(super) fn find(&self, number: u32) -> Option<(usize, &'static Field)> {
        let place = self.0.iter().position(|field| field.number == number)?;
        Some((place, &self.0[place]))
    }

    /// The attributes that become tags, if it has such.
    pub(super) fn attributes(&self) -> Option<&'static Field> {
        let mut fields = self.0.iter();
        fields.find(|field| matches!(field.slot, Attributes))
    }

    /// Whether a field of a Point is one of it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|field| match field.slot {
            F(own) => own == name,
            Inline(shape) => shape.has(name),
            Attributes => name == ATTRIBUTES,
            Name | Time | Start => false,
        })
    }
}

/// The field for attributes that are not text.
pub(super) const ATTRIBUTES: &str = "attributes";
/// The field for the kind of a metric.
pub(super) const TYPE: &str = "type";
/// The field for how long a span took.
pub(super) const DURATION: &str = "duration";

/// Kinds of metrics: the field of a metric and the word for it.
const KINDS: [(u32, &str); 5] = [
    (GAUGE, "gauge"),
    (SUM, "sum"),
    (HISTOGRAM, "histogram"),
    (EXPONENTIAL, "exponential_histogram"),
    (SUMMARY, "summary"),
];

/// The word for a kind of metric.
pub(super) fn kind_name(kind: u32) -> &'static str {
    let found = KINDS.iter().find(|(number, _)| *number == kind);
    found.map_or("", |(_, name)| name)
}

/// The kind of metric that a word stands for.
pub(super) fn kind_of(name: &str) -> Option<u32> {
    let found = KINDS.iter().find(|(_, own)| *own == name);
    found.map(|(number, _)| *number)
}

/// The data points of a kind of metric.
pub(super) fn data_point(kind: u32) -> &'static Shape {
    match kind {
        HISTOGRAM => &HISTOGRAM_POINT,
        EXPONENTIAL => &EXPONENTIAL_POINT,
        SUMMARY => &SUMMARY_POINT,
        _ => &NUMBER_POINT,
    }
}

/// What a kind of metric has beside its data points.
pub(super) fn data(kind: u32) -> &'static Shape {
    match kind {
        SUM => &SUM_DATA,
        HISTOGRAM | EXPONENTIAL => &HISTOGRAM_DATA,
        _ => &NO_DATA,
    }
}

/// Fields that every Point of the kind has, even if the wire leaves out a 0.
pub(super) fn always(shape: &Shape) -> &'static [&'static str] {
    if std::ptr::eq(shape, &HISTOGRAM_POINT) {
        &["count"]
    } else if std::ptr::eq(shape, &EXPONENTIAL_POINT) {
        &["count", "scale", "zero_count"]
    } else if std::ptr::eq(shape, &SUMMARY_POINT) {
        &["count"]
    } else {
        &[]
    }
}

macro_rules! shapes {
    ($($constant:ident { $($number:literal $slot:expr, $form:expr;)* })*) => {
        $(pub(super) static $constant: Shape = Shape(&[
            $(Field { number: $number, slot: $slot, form: $form }),*
        ]);)*
    };
}

use Form::{
    Any, Bool, Double, Doubles, EitherDouble, EitherInt, Fixed32, Fixed64, Fixed64s, Hex, Int32,
    Message, Messages, OptionalDouble, Text, Uint32, Varints, Words, Zigzag,
};
use Slot::{Attributes, Field as F, Inline, Name, Start, Time};

/// The form of [`Attributes`] and of attributes that are one field.
const A: Form = Form::Attributes;

const SPAN_KINDS: &[&str] = &["internal", "server", "client", "producer", "consumer"];
const TEMPORALITIES: &[&str] = &["delta", "cumulative"];

shapes! {
    SPAN {
        1 F("trace_id"), Hex;
        2 F("span_id"), Hex;
        3 F("trace_state"), Text;
        4 F("parent_span_id"), Hex;
        5 Name, Text;
        6 F("kind"), Words(SPAN_KINDS);
        7 Start, Fixed64;
        8 Time, Fixed64;
        9 Attributes, A;
        10 F("dropped_attributes_count"), Uint32;
        11 F("events"), Messages(&EVENT);
        12 F("dropped_events_count"), Uint32;
        13 F("links"), Messages(&LINK);
        14 F("dropped_links_count"), Uint32;
        15 Inline(&STATUS), Message(&STATUS);
        16 F("flags"), Fixed32;
    }
    EVENT {
        1 F("time"), Fixed64;
        2 F("name"), Text;
        3 F("attributes"), A;
        4 F("dropped_attributes_count"), Uint32;
    }
    LINK {
        1 F("trace_id"), Hex;
        2 F("span_id"), Hex;
        3 F("trace_state"), Text;
        4 F("attributes"), A;
        5 F("dropped_attributes_count"), Uint32;
        6 F("flags"), Fixed32;
    }
    STATUS {
        2 F("status_message"), Text;
        3 F("status_code"), Words(&["ok", "error"]);
    }
    LOG_RECORD {
        1 Time, Fixed64;
        2 F("severity_number"), Int32;
        3 F("severity_text"), Text;
        5 F("body"), Any;
        6 Attributes, A;
        7 F("dropped_attributes_count"), Uint32;
        8 F("flags"), Fixed32;
        9 F("trace_id"), Hex;
        10 F("span_id"), Hex;
        11 F("observed_time"), Fixed64;
        12 Name, Text;
    }
    METRIC {
        1 Name, Text;
        2 F("description"), Text;
        3 F("unit"), Text;
        12 F("metadata"), A;
    }
    NO_DATA {}
    SUM_DATA {
        2 F("temporality"), Words(TEMPORALITIES);
        3 F("monotonic"), Bool;
    }
    HISTOGRAM_DATA { 2 F("temporality"), Words(TEMPORALITIES); }
    NUMBER_POINT {
        2 Start, Fixed64;
        3 Time, Fixed64;
        4 F("value"), EitherDouble;
        5 F("exemplars"), Messages(&EXEMPLAR);
        6 F("value"), EitherInt;
        7 Attributes, A;
        8 F("flags"), Uint32;
    }
    HISTOGRAM_POINT {
        2 Start, Fixed64;
        3 Time, Fixed64;
        4 F("count"), Fixed64;
        5 F("sum"), OptionalDouble;
        6 F("buckets"), Fixed64s;
        7 F("bounds"), Doubles;
        8 F("exemplars"), Messages(&EXEMPLAR);
        9 Attributes, A;
        10 F("flags"), Uint32;
        11 F("min"), OptionalDouble;
        12 F("max"), OptionalDouble;
    }
    EXPONENTIAL_POINT {
        1 Attributes, A;
        2 Start, Fixed64;
        3 Time, Fixed64;
        4 F("count"), Fixed64;
        5 F("sum"), OptionalDouble;
        6 F("scale"), Zigzag;
        7 F("zero_count"), Fixed64;
        8 F("positive"), Message(&BUCKETS);
        9 F("negative"), Message(&BUCKETS);
        10 F("flags"), Uint32;
        11 F("exemplars"), Messages(&EXEMPLAR);
        12 F("min"), OptionalDouble;
        13 F("max"), OptionalDouble;
        14 F("zero_threshold"), Double;
    }
    BUCKETS {
        1 F("offset"), Zigzag;
        2 F("buckets"), Varints;
    }
    SUMMARY_POINT {
        2 Start, Fixed64;
        3 Time, Fixed64;
        4 F("count"), Fixed64;
        5 F("sum"), Double;
        6 F("quantiles"), Messages(&QUANTILE);
        7 Attributes, A;
        8 F("flags"), Uint32;
    }
    QUANTILE {
        1 F("quantile"), Double;
        2 F("value"), Double;
    }
    EXEMPLAR {
        2 F("time"), Fixed64;
        3 F("value"), EitherDouble;
        4 F("span_id"), Hex;
        5 F("trace_id"), Hex;
        6 F("value"), EitherInt;
        7 F("attributes"), A;
    }
}
