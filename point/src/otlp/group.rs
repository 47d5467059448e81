//! Resource and scope: what the items of a request have in common, and is kept once.

use std::fmt;

use bytes::Bytes;

use super::{
    Attributes, EncodeError, decode,
    fields::{Fields, Nested, Occurrences, Raw},
    put::{put_chunk, put_text},
    rebuild,
};
use crate::{Table, Value};

/// What is in field 1 of the messages that group items, as it came.
#[derive(Debug, Clone, Copy)]
pub struct ResourceRef<'a>(pub(super) &'a [u8]);

impl<'a> ResourceRef<'a> {
    /// The attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::nested(1, 1, self.0)
    }

    /// How many attributes the sender has left out.
    pub fn dropped_attributes_count(&self) -> u32 {
        number(Nested::of(1, 2, self.0))
    }

    /// The entities that the attributes describe.
    pub fn entity_refs(&self) -> impl Iterator<Item = EntityRef<'a>> + Clone + use<'a> {
        Nested::of(1, 3, self.0).map(|raw| EntityRef(raw.bytes()))
    }

    /// The schema that the attributes of the resource follow; empty if not given.
    pub fn schema_url(&self) -> &'a str {
        text(Occurrences::of(3, self.0))
    }
}

/// Which attributes of a resource say what it is.
#[derive(Debug, Clone, Copy)]
pub struct EntityRef<'a>(&'a [u8]);

impl<'a> EntityRef<'a> {
    /// The schema that the attributes follow; empty if not given.
    pub fn schema_url(&self) -> &'a str {
        text(Occurrences::of(1, self.0))
    }

    /// The kind of entity.
    pub fn kind(&self) -> &'a str {
        text(Occurrences::of(2, self.0))
    }

    /// The keys of the attributes that identify it.
    pub fn id_keys(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        Occurrences::of(3, self.0).map(Raw::text)
    }

    /// The keys of the attributes that describe it.
    pub fn description_keys(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        Occurrences::of(4, self.0).map(Raw::text)
    }
}

/// An instrumentation scope as it came.
#[derive(Debug, Clone, Copy)]
pub struct ScopeRef<'a>(pub(super) &'a [u8]);

impl<'a> ScopeRef<'a> {
    /// The name; empty if not given.
    pub fn name(&self) -> &'a str {
        text(Nested::of(1, 1, self.0))
    }

    /// The version; empty if not given.
    pub fn version(&self) -> &'a str {
        text(Nested::of(1, 2, self.0))
    }

    /// The attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::nested(1, 3, self.0)
    }

    /// How many attributes the sender has left out.
    pub fn dropped_attributes_count(&self) -> u32 {
        number(Nested::of(1, 4, self.0))
    }

    /// The schema that the attributes of the items follow; empty if not given.
    pub fn schema_url(&self) -> &'a str {
        text(Occurrences::of(3, self.0))
    }
}

fn text<'a>(occurrences: impl Iterator<Item = Raw<'a>>) -> &'a str {
    occurrences.last().map_or("", Raw::text)
}

fn number<'a>(occurrences: impl Iterator<Item = Raw<'a>>) -> u32 {
    occurrences.last().map_or(0, Raw::varint32)
}

/// A message of a request that holds further ones.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// Where it stands; `None` if it came with no request.
    pub(super) place: Option<Place>,
    /// All its fields but those that hold further messages.
    pub(super) own: Bytes,
}

/// Where a message stands in its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its tag.
    pub(super) from: usize,
    /// Its content.
    pub(super) start: usize,
    /// Its end.
    pub(super) to: usize,
}

impl Place {
    /// A message without anything around it.
    pub(super) const fn whole(length: usize) -> Self {
        Self {
            from: 0,
            start: 0,
            to: length,
        }
    }
}

impl Group {
    pub(super) const fn new(own: Bytes) -> Self {
        Self { place: None, own }
    }

    /// The message at `place` of `request`, of whose fields `is_child` says which hold further messages.
    pub(super) fn at(place: Place, request: &Bytes, is_child: impl Fn(u32, usize) -> bool) -> Self {
        let message = &request[place.start..place.to];
        let (mut runs, mut open) = (Vec::with_capacity(2), None);
        for field in Fields::of(message).placed() {
            match (is_child(field.number, field.from), open) {
                (true, Some(from)) => {
                    runs.push(from..field.from);
                    open = None;
                }
                (false, None) => open = Some(field.from),
                _ => {}
            }
        }
        runs.extend(open.map(|from| from..message.len()));
        let own = match &runs[..] {
            [] => Bytes::new(),
            [run] => request.slice(place.start + run.start..place.start + run.end),
            several => {
                let mut own = Vec::new();
                for run in several {
                    own.extend_from_slice(&message[run.clone()]);
                }
                own.into()
            }
        };
        Self {
            place: Some(place),
            own,
        }
    }
}

macro_rules! shared {
    ($(#[$doc:meta])* $name:ident, $view:ident, $attributes:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name {
            pub(super) group: Group,
        }

        impl $name {
            /// This one with other attributes. Those that stay keep their place; all else is as it was.
            ///
            /// # Errors
            /// If a value is nested deeper than decoders follow.
            pub fn with_attributes(&self, attributes: &Table<Value>) -> Result<Self, EncodeError> {
                let own = group_with_attributes(&self.group.own, $attributes, attributes)?;
                Ok(Self { group: Group::new(own) })
            }

            /// All that it says, read in place.
            pub fn read(&self) -> $view<'_> {
                $view(&self.group.own)
            }

            /// The attributes by name, each name once: of several with one name the last.
            pub fn attributes(&self) -> Table<Value> {
                decode::table(self.read().attributes())
            }

            /// The attribute `key` if it is text.
            pub fn text(&self, key: &str) -> Option<&str> {
                decode::text(self.read().attributes(), key)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.group.own == other.group.own
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.attributes()).finish()
            }
        }
    };
}

shared! {
    /// Who was measured: the resource of OTLP. Kept as it came and shared by reference, never copied into tags.
    Resource, ResourceRef, 1
}
shared! {
    /// What has measured: the instrumentation scope of OTLP. Kept as it came and shared by reference.
    Scope, ScopeRef, 3
}

impl Resource {
    /// For Points that did not come over OTLP. `schema_url` may be empty.
    ///
    /// # Errors
    /// If a value is nested deeper than decoders follow.
    pub fn new(attributes: &Table<Value>, schema_url: &str) -> Result<Self, EncodeError> {
        let mut own = Vec::new();
        put_text(3, schema_url, &mut own);
        let own = group_with_attributes(&own, 1, attributes)?;
        Ok(Self {
            group: Group::new(own),
        })
    }
}

impl Scope {
    /// For Points that did not come over OTLP. `version` and `schema_url` may be empty.
    ///
    /// # Errors
    /// If a value is nested deeper than decoders follow.
    pub fn new(
        name: &str,
        version: &str,
        attributes: &Table<Value>,
        schema_url: &str,
    ) -> Result<Self, EncodeError> {
        let (mut scope, mut own) = (Vec::new(), Vec::new());
        put_text(1, name, &mut scope);
        put_text(2, version, &mut scope);
        put_chunk(1, &scope, &mut own);
        put_text(3, schema_url, &mut own);
        let own = group_with_attributes(&own, 3, attributes)?;
        Ok(Self {
            group: Group::new(own),
        })
    }
}

/// The fields `own` of a group, where field 1 gets `attributes`; its own field for them is `number`.
fn group_with_attributes(
    own: &[u8],
    number: u32,
    attributes: &Table<Value>,
) -> Result<Bytes, EncodeError> {
    let mut described = Vec::new();
    for raw in Occurrences::of(1, own) {
        described.extend_from_slice(raw.bytes());
    }
    let mut out = Vec::with_capacity(own.len() + 64);
    let mut inner = Vec::with_capacity(described.len() + 64);
    rebuild::attributes(number, &described, attributes, &mut inner)?;
    put_chunk(1, &inner, &mut out);
    for field in Fields::of(own).placed().filter(|field| field.number != 1) {
        out.extend_from_slice(&own[field.from..field.to]);
    }
    Ok(out.into())
}
