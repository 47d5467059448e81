//! What a program has left behind, turned into edits of the Point and into further Points.

use std::sync::Arc;

use vrl::value::{KeyString, Value as Vrl};
use weir_point::{Point, Table, Text, Value};

use super::{
    plan::{Part, Plan},
    subject::Slot,
    value::{BadResult, Room, object, to_field, to_fields, to_name, to_tag, to_tags, to_time},
};

/// A change of a Point, known to be one.
#[derive(Debug)]
pub(super) enum Edit {
    Name(Text),
    Time(u64),
    Start(u64),
    Tags(Table<Text>),
    Tag(Text, Option<Text>),
    Fields(Table<Value>),
    Field(Text, Option<Value>),
}

impl Edit {
    pub(super) fn apply(self, point: &mut Point) {
        match self {
            Self::Name(name) => point.name = name,
            Self::Time(time) => point.time = time,
            Self::Start(start) => point.start = start,
            Self::Tags(tags) => point.tags = tags,
            Self::Tag(key, Some(text)) => drop(point.tags.set(key, text)),
            Self::Tag(key, None) => drop(point.tags.remove(&key)),
            Self::Fields(fields) => point.fields = fields,
            Self::Field(key, Some(value)) => drop(point.fields.set(key, value)),
            Self::Field(key, None) => drop(point.fields.remove(&key)),
        }
    }
}

/// Adds to `edits` what was written and is different from `point`.
pub(super) fn edits(
    point: &Point,
    plan: &Plan,
    slots: &[Slot],
    room: &mut Room,
    edits: &mut Vec<Edit>,
) -> Result<(), BadResult> {
    let written = plan.parts.iter().zip(slots);
    for (part, slot) in written.filter(|(_, slot)| slot.is_written) {
        let value = slot.value();
        if *part != Part::Root {
            edits.extend(edit(point, part, value, room)?);
            continue;
        }
        let map = object(".", value.unwrap_or(&Vrl::Null))?;
        for (key, part) in [
            ("name", Part::Name),
            ("time", Part::Time),
            ("start", Part::Start),
            ("tags", Part::Tags),
            ("fields", Part::Fields),
        ] {
            edits.extend(edit(point, &part, map.get(key), room)?);
        }
    }
    Ok(())
}

/// `None` if nothing changes.
fn edit(
    point: &Point,
    part: &Part,
    value: Option<&Vrl>,
    room: &mut Room,
) -> Result<Option<Edit>, BadResult> {
    let given = value.unwrap_or(&Vrl::Null);
    let edit = match part {
        Part::Name => Edit::Name(to_name(given, room)?),
        Part::Time => Edit::Time(to_time("time", given)?),
        Part::Start => Edit::Start(to_time("start", given)?),
        Part::Tags => Edit::Tags(match value {
            None => Table::default(),
            Some(value) => to_tags(value, room)?,
        }),
        Part::Tag(key) => Edit::Tag(key.clone(), to_tag(given, room)?),
        Part::Fields => Edit::Fields(match value {
            None => Table::default(),
            Some(value) => to_fields(value, &point.fields, room)?,
        }),
        Part::Field(key) => Edit::Field(
            key.clone(),
            match value {
                None => None,
                Some(value) => to_field(value, point.fields.get(key), room)?,
            },
        ),
        // The compiler refuses to write them.
        Part::Root | Part::Category | Part::Resource | Part::Attribute(_) | Part::Scope => {
            return Ok(None);
        }
    };
    let is_same = match &edit {
        Edit::Name(name) => *name == point.name,
        Edit::Time(time) => *time == point.time,
        Edit::Start(start) => *start == point.start,
        Edit::Tags(tags) => *tags == point.tags,
        Edit::Tag(key, text) => point.tags.get(key) == text.as_ref(),
        Edit::Fields(fields) => is_same(fields, &point.fields),
        Edit::Field(key, value) => match (point.fields.get(key), value) {
            (Some(old), Some(new)) => old.is_same(new),
            (None, None) => true,
            _ => false,
        },
    };
    Ok((!is_same).then_some(edit))
}

fn is_same(one: &Table<Value>, other: &Table<Value>) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|((key, own), (other_key, other))| key == other_key && own.is_same(other))
}

/// The further Point that `value` says, from the one it was made for.
pub(super) fn emitted(value: &Vrl, of: &Point, room: &mut Room) -> Result<Point, BadResult> {
    let mut point = Point::new(of.category, of.name.clone());
    (point.time, point.start) = (of.time, of.start);
    point.resource = of.resource.as_ref().map(Arc::clone);
    point.scope = of.scope.as_ref().map(Arc::clone);
    for (key, value) in object("emit: the argument", value)? {
        let key: &KeyString = key;
        match key.as_str() {
            "name" => point.name = to_name(value, room)?,
            "time" => point.time = to_time("time", value)?,
            "start" => point.start = to_time("start", value)?,
            "tags" => point.tags = to_tags(value, room)?,
            "fields" => point.fields = to_fields(value, &Table::default(), room)?,
            // They are those of the Point it comes from, so that `emit(.)` works.
            "category" | "resource" | "scope" => {}
            _ => {
                return Err(BadResult::Unknown {
                    key: key.to_string(),
                });
            }
        }
    }
    Ok(point)
}
