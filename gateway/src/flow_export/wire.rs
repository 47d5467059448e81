//! Writing protobuf, as far as OTLP requests need it. What is written can be read by any decoder;
//! fields stand in the order in which they are written.

use std::borrow::Cow;

/// What an attribute holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Ints(Vec<i64>),
}

/// Wire types, by <https://protobuf.dev/programming-guides/encoding/>.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;

/// Of `KeyValue`.
const KEY: u32 = 1;
const VALUE: u32 = 2;
/// Of `AnyValue`.
const STRING_VALUE: u32 = 1;
const BOOL_VALUE: u32 = 2;
const INT_VALUE: u32 = 3;
const DOUBLE_VALUE: u32 = 4;
const ARRAY_VALUE: u32 = 5;
/// Of `ArrayValue`.
const VALUES: u32 = 1;

/// Append the field `field` that holds what `write` appends.
pub(crate) fn message<T>(
    out: &mut Vec<u8>,
    field: u32,
    write: impl FnOnce(&mut Vec<u8>) -> T,
) -> T {
    tag(out, field, LENGTH);
    let at = out.len();
    // Most lengths take one byte; for a longer one the content moves on.
    out.push(0);
    let result = write(out);
    let mut length = Vec::new();
    varint(&mut length, (out.len() - at - 1) as u64);
    match length[..] {
        [byte] => out[at] = byte,
        _ => drop(out.splice(at..=at, length)),
    }
    result
}

/// Append a text; nothing for an empty one, which is the default.
pub(crate) fn text(out: &mut Vec<u8>, field: u32, text: &str) {
    bytes(out, field, text.as_bytes());
}

/// Append bytes; nothing for none, which is the default.
pub(crate) fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        tag(out, field, LENGTH);
        varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
}

/// Append a number of variable length: an enum, a bool, a `uint64`.
pub(crate) fn number(out: &mut Vec<u8>, field: u32, number: u64) {
    tag(out, field, VARINT);
    varint(out, number);
}

/// Append a number of eight bytes: a `fixed64`, or the bits of an `sfixed64` or a `double`.
pub(crate) fn fixed(out: &mut Vec<u8>, field: u32, bits: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Append numbers of eight bytes each as one packed field; nothing for none.
pub(crate) fn packed(out: &mut Vec<u8>, field: u32, bits: impl ExactSizeIterator<Item = u64>) {
    if bits.len() == 0 {
        return;
    }
    tag(out, field, LENGTH);
    varint(out, 8 * bits.len() as u64);
    for bits in bits {
        out.extend_from_slice(&bits.to_le_bytes());
    }
}

/// Append the attribute `key` to a field of `KeyValue`s.
pub(crate) fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: Value<'_>) {
    message(out, field, |out| {
        text(out, KEY, key);
        any(out, VALUE, value);
    });
}

/// Append a field of the type `AnyValue`.
pub(crate) fn any(out: &mut Vec<u8>, field: u32, value: Value<'_>) {
    message(out, field, |out| match value {
        // Written even if it is the default: an absent value is no value at all.
        Value::Text(text) => {
            tag(out, STRING_VALUE, LENGTH);
            varint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Bool(answer) => number(out, BOOL_VALUE, answer.into()),
        Value::Int(int) => number(out, INT_VALUE, int.cast_unsigned()),
        Value::Double(double) => fixed(out, DOUBLE_VALUE, double.to_bits()),
        Value::Ints(ints) => message(out, ARRAY_VALUE, |out| {
            for int in ints {
                any(out, VALUES, Value::Int(int));
            }
        }),
    });
}

fn tag(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    varint(out, u64::from(field << 3 | wire_type));
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
    use prost::Message as _;

    use super::*;

    #[test]
    fn an_independent_decoder_reads_back_every_kind_of_value() {
        let long = "x".repeat(300);
        let cases = [
            (
                Value::Text("".into()),
                any_value::Value::StringValue(String::new()),
            ),
            (
                Value::Text(Cow::Borrowed(&long)),
                any_value::Value::StringValue(long.clone()),
            ),
            (Value::Bool(true), any_value::Value::BoolValue(true)),
            (Value::Bool(false), any_value::Value::BoolValue(false)),
            (
                Value::Ints(vec![0, 300]),
                any_value::Value::ArrayValue(ArrayValue {
                    values: [0, 300]
                        .map(|int| AnyValue {
                            value: Some(any_value::Value::IntValue(int)),
                        })
                        .to_vec(),
                }),
            ),
            (Value::Int(-1), any_value::Value::IntValue(-1)),
            (Value::Int(0), any_value::Value::IntValue(0)),
            (Value::Int(i64::MAX), any_value::Value::IntValue(i64::MAX)),
            (Value::Double(-0.5), any_value::Value::DoubleValue(-0.5)),
        ];
        for (value, wanted) in cases {
            let mut out = Vec::new();
            attribute(&mut out, 1, "a key", value.clone());
            let wanted = KeyValue {
                key: "a key".to_owned(),
                value: Some(AnyValue {
                    value: Some(wanted),
                }),
                ..KeyValue::default()
            };
            let mut expected = vec![0x0a];
            wanted
                .encode_length_delimited(&mut expected)
                .expect("room in a Vec");
            assert_eq!(out, expected, "{value:?}");
        }
    }

    #[test]
    fn lengths_of_any_size_nest() {
        for length in [0, 1, 126, 127, 128, 16_381, 16_384, 100_000] {
            let mut out = Vec::new();
            message(&mut out, 2, |out| {
                message(out, 1, |out| text(out, 1, &"y".repeat(length)));
            });
            let mut rest = &out[..];
            let mut content = Vec::new();
            prost::encoding::decode_key(&mut rest).expect("a tag");
            prost::encoding::bytes::merge(
                prost::encoding::WireType::LengthDelimited,
                &mut content,
                &mut rest,
                prost::encoding::DecodeContext::default(),
            )
            .expect("a length that fits");
            assert!(rest.is_empty());
            assert!(content.len() >= length, "{length}");
        }
    }
}
