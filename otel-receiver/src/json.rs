//! OTLP/JSON to protobuf, in one pass: what is read is written at once, so that memory grows with the text and not
//! with the structures it describes.

mod output;
mod scalar;
mod schema;

use std::{fmt, time::Duration};

use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde_json::json;
use weir_point::otlp::Signal;

use self::{
    output::Output,
    scalar::ScalarVisitor,
    schema::{Field, Kind, Message, Scalar},
};
use crate::{
    body::Buffer,
    refusal::{RETRY_INFO, Refusal},
};

/// Writes the request in `text` to `buffer`. Keys that are not known are left out, as OTLP asks.
pub(crate) fn to_protobuf(signal: Signal, text: &[u8], buffer: &mut Buffer) -> Result<(), Refusal> {
    if text.contains(&b'\\') {
        // The reader puts strings together elsewhere if they have escapes.
        buffer.charge(text.len())?;
    }
    let mut output = Output::new(buffer);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let root = MessageSeed {
        message: schema::request(signal),
        output: &mut output,
    };
    let read = root.deserialize(&mut reader).and_then(|()| reader.end());
    output.finish()?;
    read.map_err(Refusal::Json)
}

/// A `google.rpc.Status` as protobuf's JSON mapping writes it.
pub(crate) fn status(status: &tonic_types::Status, retry_after: Option<Duration>) -> String {
    let mut value = json!({ "code": status.code, "message": status.message });
    if let Some(after) = retry_after {
        let delay = format!("{}.{:09}s", after.as_secs(), after.subsec_nanos());
        value["details"] = json!([{ "@type": RETRY_INFO, "retryDelay": delay }]);
    }
    value.to_string()
}

/// The fields of a message, without tag and length.
struct MessageSeed<'a, 'b> {
    message: &'static Message,
    output: &'a mut Output<'b>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as an object", self.message.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(KeySeed(self.message))? {
            match field {
                Some(field) => map.next_value_seed(FieldSeed {
                    field,
                    output: self.output,
                })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The name of a field; `None` if it is none.
struct KeySeed(&'static Message);

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.fields.iter().find(|field| field.name == key))
    }
}

/// The value of a field, or of one element where there may be several.
struct FieldSeed<'a, 'b> {
    field: &'static Field,
    output: &'a mut Output<'b>,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let (scalar, keep) = match self.field.kind {
            Kind::Value(scalar) => (scalar, false),
            Kind::Chosen(scalar) => (scalar, true),
            Kind::One(_) | Kind::Many(_) | Kind::List(_) => {
                return deserializer.deserialize_any(self);
            }
        };
        deserializer.deserialize_any(ScalarVisitor {
            field: self.field,
            scalar,
            tagged: true,
            keep,
            output: self.output,
        })
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.field.kind {
            Kind::One(_) => "an object",
            _ => "an array",
        };
        write!(f, "{} as {what}", self.field.name)
    }

    /// As if it were not there.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::One(message) = self.field.kind else {
            return Err(A::Error::invalid_type(Unexpected::Map, &self));
        };
        self.output.nested(self.field.number, |output| {
            MessageSeed { message, output }.visit_map(map)
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let field = self.field;
        let output = &mut *self.output;
        match field.kind {
            Kind::Many(message) => {
                while let Some(()) = list.next_element_seed(ElementSeed {
                    field,
                    message,
                    output,
                })? {}
                Ok(())
            }
            Kind::List(scalar @ Scalar::Text) => scalars(&mut list, field, scalar, true, output),
            Kind::List(scalar) => output.nested(field.number, |output| {
                scalars(&mut list, field, scalar, false, output)
            }),
            _ => Err(A::Error::invalid_type(Unexpected::Seq, &self)),
        }
    }
}

/// The elements of an array; packed, if they are not tagged.
fn scalars<'de, A: SeqAccess<'de>>(
    list: &mut A,
    field: &'static Field,
    scalar: Scalar,
    tagged: bool,
    output: &mut Output<'_>,
) -> Result<(), A::Error> {
    while let Some(()) = list.next_element_seed(ScalarVisitor {
        field,
        scalar,
        tagged,
        keep: true,
        output,
    })? {}
    Ok(())
}

/// A message in an array.
struct ElementSeed<'a, 'b> {
    field: &'static Field,
    message: &'static Message,
    output: &'a mut Output<'b>,
}

impl<'de> DeserializeSeed<'de> for ElementSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let message = self.message;
        self.output.nested(self.field.number, |output| {
            MessageSeed { message, output }.deserialize(deserializer)
        })
    }
}
