//! Writes a message anew after an edit: what was not touched is copied, unknown fields included.

mod attributes;
mod value;

pub(super) use self::attributes::attributes;
use self::{attributes::Changes, value::put_field};
use super::{
    EncodeError, decode,
    fields::{Fields, Occurrences},
    put::{put_chunk, put_fixed64, put_text},
    shape::{Field, Form, Shape, Slot},
};
use crate::{Table, Text, Value};

/// What a message says, before or after an edit.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) name: &'a str,
    pub(super) time: u64,
    pub(super) start: u64,
    /// `None` where text is among the attributes.
    pub(super) tags: Option<&'a Table<Text>>,
    pub(super) attributes: &'a Table<Value>,
    pub(super) fields: &'a Table<Value>,
}

impl<'a> View<'a> {
    /// Of a message inside another: all is fields.
    fn inner(fields: &'a Table<Value>, none: &'a Table<Value>) -> Self {
        Self {
            name: "",
            time: 0,
            start: 0,
            tags: None,
            attributes: none,
            fields,
        }
    }
}

/// Appends the message `wire` to `out` so that it says `new`. `old` is what it says.
pub(super) fn message(
    shape: &'static Shape,
    wire: &[u8],
    old: View<'_>,
    new: View<'_>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut edit = Edit {
        wire,
        old,
        new,
        changes: Changes::new(old, new),
        changed: Vec::new(),
        written: Vec::new(),
    };
    edit.compare(shape);
    edit.copy(shape, wire, out)?;
    edit.append(shape, out)
}

/// One message being written.
struct Edit<'a> {
    wire: &'a [u8],
    old: View<'a>,
    new: View<'a>,
    changes: Changes<'a>,
    /// The fields that were changed.
    changed: Vec<&'static str>,
    /// Those of them that are written.
    written: Vec<&'static str>,
}

const NAME: &str = "name of the Point";
const TIME: &str = "time of the Point";
const START: &str = "start of the Point";

impl<'a> Edit<'a> {
    /// Finds what was changed: once, as a field may be on the wire any number of times.
    fn compare(&mut self, shape: &'static Shape) {
        let (old, new) = (self.old.fields, self.new.fields);
        if std::ptr::eq(old, new) {
            return;
        }
        for field in shape.0 {
            match field.slot {
                Slot::Inline(inner) => self.compare(inner),
                Slot::Field(name) => match (old.get(name), new.get(name)) {
                    (Some(one), Some(other)) if one.is_same(other) => {}
                    (None, None) => {}
                    _ => self.changed.push(name),
                },
                Slot::Name | Slot::Time | Slot::Start | Slot::Attributes => {}
            }
        }
    }

    /// What is in `wire`, in its order, with changes in place.
    fn copy(
        &mut self,
        shape: &'static Shape,
        wire: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        for placed in Fields::of(wire).placed() {
            let whole = &wire[placed.from..placed.to];
            let Some((_, field)) = shape.find(placed.number) else {
                out.extend_from_slice(whole);
                continue;
            };
            match field.slot {
                Slot::Attributes => {
                    self.changes
                        .put(field.number, whole, placed.raw.bytes(), out)?;
                }
                Slot::Inline(inner) => {
                    let mut content = Vec::new();
                    self.copy(inner, placed.raw.bytes(), &mut content)?;
                    if content == placed.raw.bytes() {
                        out.extend_from_slice(whole);
                    } else {
                        put_chunk(field.number, &content, out);
                    }
                }
                _ if self.is_same(field) => out.extend_from_slice(whole),
                Slot::Field(name) => self.change(shape, name, field, out)?,
                slot => self.put_slot(slot, field.number, out),
            }
        }
        Ok(())
    }

    /// What is new.
    fn append(&mut self, shape: &'static Shape, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        for field in shape.0 {
            match field.slot {
                Slot::Attributes => self.changes.append(field.number, out)?,
                Slot::Inline(inner) => {
                    let mut content = Vec::new();
                    self.append(inner, &mut content)?;
                    if !content.is_empty() {
                        put_chunk(field.number, &content, out);
                    }
                }
                Slot::Field(name) => {
                    if !self.is_same(field) && self.is_first(name) {
                        self.put_new(shape, name, out)?;
                    }
                }
                slot => {
                    if !self.is_same(field) {
                        self.put_slot(slot, field.number, out);
                    }
                }
            }
        }
        Ok(())
    }

    fn is_same(&self, field: &Field) -> bool {
        let (old, new) = (&self.old, &self.new);
        match field.slot {
            Slot::Name => old.name == new.name,
            Slot::Time => old.time == new.time,
            Slot::Start => old.start == new.start,
            Slot::Field(name) => !self.changed.contains(&name),
            Slot::Attributes | Slot::Inline(_) => true,
        }
    }

    /// Notes that `name` is written; whether it was not yet.
    fn is_first(&mut self, name: &'static str) -> bool {
        let first = !self.written.contains(&name);
        if first {
            self.written.push(name);
        }
        first
    }

    fn put_slot(&mut self, slot: Slot, number: u32, out: &mut Vec<u8>) {
        let (name, value) = match slot {
            Slot::Time => (TIME, self.new.time),
            Slot::Start => (START, self.new.start),
            _ => {
                if self.is_first(NAME) {
                    put_text(number, self.new.name, out);
                }
                return;
            }
        };
        if self.is_first(name) && value != 0 {
            put_fixed64(number, value, out);
        }
    }

    /// A field that is on the wire and has another value now, or none.
    fn change(
        &mut self,
        shape: &'static Shape,
        name: &'static str,
        field: &'static Field,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        // All of a list where the first of it was.
        if !self.is_first(name) {
            return Ok(());
        }
        match (field.form, self.new.fields.get(name)) {
            (Form::Messages(inner), Some(Value::List(new))) => {
                self.put_messages(name, field.number, inner, new, out)
            }
            (Form::Message(inner), Some(Value::Map(new))) => {
                self.put_message(field.number, inner, new, out)
            }
            (Form::Attributes, new) => self.put_attributes(name, field.number, new, out),
            _ => self.put_new(shape, name, out),
        }
    }

    /// A message of which something is on the wire.
    fn put_message(
        &self,
        number: u32,
        shape: &'static Shape,
        new: &Table<Value>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        // In parts they are one message.
        let wire: Vec<u8> = Occurrences::of(number, self.wire)
            .flat_map(|raw| raw.bytes().iter().copied())
            .collect();
        put_changed(number, shape, &wire, new, out)
    }

    fn put_attributes(
        &self,
        name: &'static str,
        number: u32,
        new: Option<&Value>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let none = Table::default();
        let new = match new {
            None => &none,
            Some(Value::Map(new)) => new,
            Some(_) => return Err(EncodeError::new(name, "is not a map")),
        };
        let mut only = Vec::new();
        for placed in Fields::of(self.wire).placed() {
            if placed.number == number {
                only.extend_from_slice(&self.wire[placed.from..placed.to]);
            }
        }
        attributes(number, &only, new, out)
    }

    /// A list of which something is on the wire. If it has as many entries as there, each is what it was and may
    /// have changed; else those that are the same are found, and the others are new.
    fn put_messages(
        &self,
        name: &'static str,
        number: u32,
        shape: &'static Shape,
        new: &[Value],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let wire: Vec<&[u8]> = Occurrences::of(number, self.wire)
            .map(|raw| raw.bytes())
            .collect();
        let old = match self.old.fields.get(name) {
            Some(Value::List(old)) => &old[..],
            _ => &[],
        };
        let as_many = wire.len() == new.len();
        let mut next = 0;
        for value in new {
            let Value::Map(map) = value else {
                return Err(EncodeError::new(name, "is not a list of maps"));
            };
            let window = old.iter().enumerate().skip(next).take(LOOKED_AHEAD);
            let found = if as_many {
                Some(next)
            } else {
                window
                    .into_iter()
                    .find(|(_, old)| old.is_same(value))
                    .map(|(at, _)| at)
            };
            let wire = found.and_then(|at| wire.get(at)).copied();
            put_changed(number, shape, wire.unwrap_or_default(), map, out)?;
            next = found.map_or(next, |at| at + 1);
        }
        Ok(())
    }

    /// A field of which nothing is on the wire, or nothing that stays.
    fn put_new(
        &self,
        shape: &'static Shape,
        name: &'static str,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let Some(value) = self.new.fields.get(name) else {
            return Ok(());
        };
        let own = |field: &&Field| matches!(field.slot, Slot::Field(own) if own == name);
        let mut problem = "has no place";
        for field in shape.0.iter().filter(own) {
            match put_field(field, value, out) {
                Ok(()) => return Ok(()),
                Err(cause) => problem = cause,
            }
        }
        Err(EncodeError::new(name, problem))
    }
}

/// How far ahead an entry of a list is sought: lists that lost a few entries find all of theirs.
const LOOKED_AHEAD: usize = 64;

/// The message `wire` so that it says `new`.
fn put_changed(
    number: u32,
    shape: &'static Shape,
    wire: &[u8],
    new: &Table<Value>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let (old, none) = (decode::map(shape, wire), Table::default());
    if let Some((unknown, _)) = new.iter().find(|(name, _)| !shape.has(name)) {
        return Err(EncodeError::new(unknown, "is not known"));
    }
    let mut content = Vec::with_capacity(wire.len());
    message(
        shape,
        wire,
        View::inner(&old, &none),
        View::inner(new, &none),
        &mut content,
    )?;
    put_chunk(number, &content, out);
    Ok(())
}
