//! Walks protobuf by a schema, without decoding it.

use std::fmt;

use super::{
    cursor::{Cursor, Problem, WireType},
    schema::{Kind, Message},
};

/// prost refuses deeper messages, and so would whoever gets them from us.
const MAX_DEPTH: u32 = 100;
/// How much of a path is shown: all of it, but for values nested in values.
const SHOWN: usize = 10;

/// Bytes that are no request of the schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {} at byte {}", Path(.0), .0.problem, .0.at)]
pub struct WireError(Box<Flaw>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Flaw {
    request: &'static str,
    /// Names of fields, the innermost first.
    path: Vec<&'static str>,
    problem: Problem,
    /// From the beginning of the message; in the end, of the request.
    at: usize,
}

/// The path, outermost field first.
struct Path<'a>(&'a Flaw);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.request)?;
        for field in self.0.path.iter().rev().take(SHOWN) {
            write!(f, ".{field}")?;
        }
        if self.0.path.len() > SHOWN {
            f.write_str(".…")?;
        }
        Ok(())
    }
}

/// Checks `bytes` as one `message` and counts its items.
pub(super) fn check(message: &'static Message, bytes: &[u8]) -> Result<usize, WireError> {
    let mut items = 0;
    match walk(message, bytes, 0, &mut items) {
        Ok(()) => Ok(items),
        Err(mut flaw) => {
            flaw.request = message.name;
            Err(WireError(flaw))
        }
    }
}

fn walk(message: &Message, bytes: &[u8], depth: u32, items: &mut usize) -> Result<(), Box<Flaw>> {
    let mut cursor = Cursor::new(bytes);
    while !cursor.at_end() {
        let (number, wire_type) = cursor.tag().map_err(|problem| flaw(problem, cursor.at))?;
        let done = match (message.kind(number), wire_type) {
            (Kind::Message(of), WireType::Length) => inner(of, &mut cursor, depth, items),
            (Kind::Item(of), WireType::Length) => {
                *items += 1;
                inner(of, &mut cursor, depth, items)
            }
            (kind, wire_type) => value(kind, wire_type, &mut cursor, depth)
                .map_err(|problem| flaw(problem, cursor.at)),
        };
        if let Err(mut flaw) = done {
            flaw.path.extend(message.field_name(number));
            return Err(flaw);
        }
    }
    Ok(())
}

#[inline]
fn inner(
    message: &Message,
    cursor: &mut Cursor<'_>,
    depth: u32,
    items: &mut usize,
) -> Result<(), Box<Flaw>> {
    let bytes = cursor.chunk().map_err(|problem| flaw(problem, cursor.at))?;
    let start = cursor.at - bytes.len();
    if depth == MAX_DEPTH {
        return Err(flaw("nested too deeply", start));
    }
    walk(message, bytes, depth + 1, items).map_err(|mut flaw| {
        flaw.at += start;
        flaw
    })
}

/// Takes a value that is no message off `cursor`.
#[inline]
fn value(
    kind: Kind,
    wire_type: WireType,
    cursor: &mut Cursor<'_>,
    depth: u32,
) -> Result<(), Problem> {
    match (kind, wire_type) {
        (Kind::Text, WireType::Length) => {
            let text = cursor.chunk()?;
            // Most text is short ASCII, for which that test alone is quicker.
            if !text.is_ascii()
                && let Err(error) = std::str::from_utf8(text)
            {
                cursor.at -= text.len() - error.valid_up_to();
                return Err("not UTF-8");
            }
            Ok(())
        }
        (Kind::Varint | Kind::Varints, WireType::Varint)
        | (Kind::Fixed64 | Kind::Fixed64s, WireType::Fixed64)
        | (Kind::Fixed32, WireType::Fixed32)
        | (Kind::Bytes, WireType::Length) => cursor.skip(wire_type),
        (Kind::Varints, WireType::Length) => {
            let mut packed = Cursor::new(cursor.chunk()?);
            while !packed.at_end() {
                packed.varint()?;
            }
            Ok(())
        }
        (Kind::Fixed64s, WireType::Length) => match cursor.chunk()?.len() % 8 {
            0 => Ok(()),
            _ => Err("not a multiple of 8 bytes"),
        },
        // prost takes what it skips for one level more.
        (Kind::Unknown, _) if depth == MAX_DEPTH => Err("nested too deeply"),
        (Kind::Unknown, _) => cursor.skip(wire_type),
        _ => Err("wrong wire type"),
    }
}

#[cold]
fn flaw(problem: Problem, at: usize) -> Box<Flaw> {
    Box::new(Flaw {
        request: "",
        path: Vec::new(),
        problem,
        at,
    })
}
