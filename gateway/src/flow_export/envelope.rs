//! What surrounds data points, log records and spans in a request. The field numbers are the same
//! for the three signals.

use std::borrow::Cow;

use weir_point::Point;

use super::wire::{self, Value};
use crate::profile::{Attribute, Form, Profile};

/// Of the request.
const RESOURCE_ITEMS: u32 = 1;
/// Of `ResourceMetrics`, `ResourceLogs` and `ResourceSpans`.
const RESOURCE: u32 = 1;
const SCOPE_ITEMS: u32 = 2;
const RESOURCE_SCHEMA: u32 = 3;
/// Of `Resource`.
const RESOURCE_ATTRIBUTES: u32 = 1;
/// Of `ScopeMetrics`, `ScopeLogs` and `ScopeSpans`.
const SCOPE: u32 = 1;
/// The metrics, log records or spans.
pub(crate) const ITEMS: u32 = 2;
const SCOPE_SCHEMA: u32 = 3;
/// Of `InstrumentationScope`.
const SCOPE_NAME: u32 = 1;
const SCOPE_VERSION: u32 = 2;

/// Who measured.
const NAME: &str = "weir";

/// Append everything of one resource that weir speaks for itself: its attributes, and what `items`
/// appends. Nothing at all if that is nothing.
pub(super) fn resource<'a>(
    out: &mut Vec<u8>,
    profile: &Profile,
    attributes: impl Iterator<Item = (&'static str, Value<'a>)>,
    items: impl FnOnce(&mut Vec<u8>),
) {
    let service = ("service.name", Value::Text(Cow::Borrowed(NAME)));
    group(out, profile.schema_url, attributes.chain([service]), items);
}

/// Append everything of one resource: its attributes, and what `items` appends. Nothing at all if
/// that is nothing.
pub(crate) fn group<'a>(
    out: &mut Vec<u8>,
    schema_url: &str,
    attributes: impl Iterator<Item = (&'static str, Value<'a>)>,
    items: impl FnOnce(&mut Vec<u8>),
) {
    let before = out.len();
    let written = wire::message(out, RESOURCE_ITEMS, |out| {
        wire::message(out, RESOURCE, |out| {
            for (name, value) in attributes {
                wire::attribute(out, RESOURCE_ATTRIBUTES, name, value);
            }
        });
        let written = wire::message(out, SCOPE_ITEMS, |out| {
            wire::message(out, SCOPE, |out| {
                wire::text(out, SCOPE_NAME, NAME);
                wire::text(out, SCOPE_VERSION, env!("CARGO_PKG_VERSION"));
            });
            let before = out.len();
            items(out);
            let written = out.len() > before;
            wire::text(out, SCOPE_SCHEMA, schema_url);
            written
        });
        wire::text(out, RESOURCE_SCHEMA, schema_url);
        written
    });
    if !written {
        out.truncate(before);
    }
}

/// What `attribute` of `point` is outside, if it has it.
pub(super) fn value<'a>(attribute: &Attribute, point: &'a Point) -> Option<Value<'a>> {
    let text = attribute.of(point)?;
    Some(match attribute.form {
        Form::Integer | Form::Number | Form::Code => match text.parse() {
            Ok(number) => Value::Int(number),
            Err(_no_number) => Value::Text(text),
        },
        Form::Decimal => match text.parse() {
            Ok(number) => Value::Double(number),
            Err(_no_number) => Value::Text(text),
        },
        Form::Flag => Value::Bool(text == "true"),
        Form::Text | Form::LowerCase | Form::Scheme => Value::Text(text),
    })
}
