//! Single values: how each is written in JSON, and how in protobuf.

use std::fmt;

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::de::{DeserializeSeed, Deserializer, Error, Unexpected, Visitor};

use super::{
    output::{EIGHT_BYTES, FOUR_BYTES, LENGTH, Output, VARINT},
    schema::{Field, Scalar},
};

/// Protobuf's JSON mapping takes both alphabets, with and without padding.
const TOLERANT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, TOLERANT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, TOLERANT);

/// Writes the value it visits.
pub(super) struct ScalarVisitor<'a, 'b> {
    pub(super) field: &'static Field,
    pub(super) scalar: Scalar,
    /// Whether the field's number goes before it.
    pub(super) tagged: bool,
    /// Whether it is written even if it is what its absence means.
    pub(super) keep: bool,
    pub(super) output: &'a mut Output<'b>,
}

impl ScalarVisitor<'_, '_> {
    fn tag<E: Error>(&mut self, wire_type: u32) -> Result<(), E> {
        if self.tagged {
            self.output.tag(self.field.number, wire_type)?;
        }
        Ok(())
    }

    fn varint<E: Error>(&mut self, value: u64) -> Result<(), E> {
        if value == 0 && !self.keep {
            return Ok(());
        }
        self.tag(VARINT)?;
        self.output.varint(value)
    }

    fn fixed<E: Error>(&mut self, wire_type: u32, bytes: &[u8]) -> Result<(), E> {
        if !self.keep && bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        self.tag(wire_type)?;
        self.output.bytes(bytes)
    }

    fn double<E: Error>(&mut self, value: f64) -> Result<(), E> {
        self.fixed(EIGHT_BYTES, &value.to_le_bytes())
    }

    /// A whole number, however it was written.
    fn whole<E: Error>(&mut self, value: i128) -> Result<(), E> {
        let range = |_| {
            let range = format!("{} is out of range for {self}", value);
            E::custom(range)
        };
        match self.scalar {
            Scalar::Int32 => {
                let value = i32::try_from(value).map_err(range)?;
                self.varint(i64::from(value).cast_unsigned())
            }
            Scalar::Sint32 => {
                let value = i32::try_from(value).map_err(range)?;
                self.varint(u64::from(((value << 1) ^ (value >> 31)).cast_unsigned()))
            }
            Scalar::Uint32 => {
                let value = u32::try_from(value).map_err(range)?;
                self.varint(value.into())
            }
            Scalar::Fixed32 => {
                let value = u32::try_from(value).map_err(range)?;
                self.fixed(FOUR_BYTES, &value.to_le_bytes())
            }
            Scalar::Int64 => {
                let value = i64::try_from(value).map_err(range)?;
                self.varint(value.cast_unsigned())
            }
            Scalar::Uint64 => {
                let value = u64::try_from(value).map_err(range)?;
                self.varint(value)
            }
            Scalar::Sfixed64 => {
                let value = i64::try_from(value).map_err(range)?;
                self.fixed(EIGHT_BYTES, &value.to_le_bytes())
            }
            Scalar::Fixed64 => {
                let value = u64::try_from(value).map_err(range)?;
                self.fixed(EIGHT_BYTES, &value.to_le_bytes())
            }
            #[expect(
                clippy::cast_precision_loss,
                reason = "as JSON numbers are read anywhere"
            )]
            Scalar::Double => self.double(value as f64),
            Scalar::Bool | Scalar::Text | Scalar::Hex | Scalar::Base64 => {
                Err(E::invalid_type(Unexpected::Other("number"), self))
            }
        }
    }

    fn hexadecimal<E: Error>(&mut self, text: &str) -> Result<(), E> {
        if !text.len().is_multiple_of(2) || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(E::invalid_value(Unexpected::Str(excerpt(text)), self));
        }
        self.tag(LENGTH)?;
        self.output.varint(text.len() as u64 / 2)?;
        let value = |digit: u8| (digit & 0xf) + if digit > b'9' { 9 } else { 0 };
        self.output.in_place(text.len() / 2, |bytes| {
            let pairs = text.as_bytes().chunks_exact(2);
            bytes.extend(pairs.map(|pair| value(pair[0]) << 4 | value(pair[1])));
            Ok(())
        })
    }

    fn base64<E: Error>(&mut self, text: &str) -> Result<(), E> {
        let wrong = E::invalid_value(Unexpected::Str(excerpt(text)), self);
        let url_safe = text.contains(['-', '_']);
        let engine = if url_safe { BASE64_URL } else { BASE64 };
        let decode = |output: &mut Output<'_>| {
            output.in_place(base64::decoded_len_estimate(text.len()), |bytes| {
                engine.decode_vec(text, bytes).map_err(|_problem| wrong)
            })
        };
        if self.tagged {
            self.output.nested(self.field.number, decode)
        } else {
            decode(self.output)
        }
    }
}

/// What to expect, for messages.
impl fmt::Display for ScalarVisitor<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.scalar {
            Scalar::Bool => "true or false",
            Scalar::Int32 | Scalar::Sint32 => "a whole number of 32 bits",
            Scalar::Uint32 | Scalar::Fixed32 => "a whole number of 32 bits, not negative",
            Scalar::Int64 | Scalar::Sfixed64 => "a whole number of 64 bits",
            Scalar::Uint64 | Scalar::Fixed64 => "a whole number of 64 bits, not negative",
            Scalar::Double => "a number",
            Scalar::Text => "a string",
            Scalar::Hex => "hexadecimal digits, two for each byte",
            Scalar::Base64 => "base64",
        };
        write!(f, "{} as {what}", self.field.name)
    }
}

impl<'de> DeserializeSeed<'de> for ScalarVisitor<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for ScalarVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }

    /// As if it were not there; in an array it has no meaning.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.tagged {
            Ok(())
        } else {
            Err(E::invalid_type(Unexpected::Unit, &self))
        }
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        match self.scalar {
            Scalar::Bool => self.varint(value.into()),
            _ => Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        self.whole(value.into())
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.whole(value.into())
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        match self.scalar {
            Scalar::Double => self.double(value),
            // 1.0 and 1e3 are whole numbers too; past 2^53 a float does not tell which.
            #[expect(clippy::cast_possible_truncation, reason = "checked before")]
            _ if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 => {
                self.whole(value as i128)
            }
            _ => Err(E::invalid_value(Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        match self.scalar {
            Scalar::Text if text.is_empty() && !self.keep => Ok(()),
            Scalar::Text => {
                self.tag(LENGTH)?;
                self.output.varint(text.len() as u64)?;
                self.output.bytes(text.as_bytes())
            }
            // An id that is not there is often written as an empty one.
            Scalar::Hex | Scalar::Base64 if text.is_empty() && !self.keep => Ok(()),
            Scalar::Hex => self.hexadecimal(text),
            Scalar::Base64 => self.base64(text),
            Scalar::Double => match text.parse() {
                Ok(value) => self.double(value),
                Err(_) => Err(E::invalid_value(Unexpected::Str(excerpt(text)), &self)),
            },
            Scalar::Bool => Err(E::invalid_type(Unexpected::Str(excerpt(text)), &self)),
            _ => match text.parse() {
                Ok(value) => self.whole(value),
                Err(_) => Err(E::invalid_value(Unexpected::Str(excerpt(text)), &self)),
            },
        }
    }
}

/// Enough of a text to find it by.
fn excerpt(text: &str) -> &str {
    text.get(..text.floor_char_boundary(40)).unwrap_or_default()
}
