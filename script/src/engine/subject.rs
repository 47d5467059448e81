//! What a program works on: the parts of one Point that it mentions, converted when they are first looked at.

use std::cell::OnceCell;

use vrl::{
    compiler::{SecretTarget, Target},
    path::{OwnedTargetPath, OwnedValuePath, PathPrefix},
    value::Value as Vrl,
};
use weir_point::{Category, Point};

use super::{
    plan::{Part, Plan},
    value::{from_fields, from_tags, from_text, from_time, from_value},
};
use crate::functions::emitted_path;

/// More than anyone makes of one Point.
pub(super) const MOST_EMITTED: usize = 100;

/// The value of one part.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Empty until the program looks at it; `None` inside if the Point has none.
    value: OnceCell<Option<Vrl>>,
    pub(super) is_written: bool,
}

impl Slot {
    /// What the program has left there; `None` if it has removed it.
    pub(super) fn value(&self) -> Option<&Vrl> {
        self.value.get()?.as_ref()
    }
}

/// What is kept from one Point to the next, to allocate it once.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) slots: Vec<Slot>,
    pub(super) emitted: Vec<Vrl>,
}

/// One Point in the hands of a program. The Point itself is not touched.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    point: &'a Point,
    plan: &'a Plan,
    memory: &'a mut Memory,
}

/// VRL asks for the root to know that there is one.
static ROOT: Vrl = Vrl::Null;

impl<'a> Subject<'a> {
    pub(super) fn new(point: &'a Point, plan: &'a Plan, memory: &'a mut Memory) -> Self {
        memory.emitted.clear();
        memory.slots.clear();
        memory.slots.resize_with(plan.parts.len(), Slot::default);
        Self {
            point,
            plan,
            memory,
        }
    }

    fn load(&self, part: usize) -> Option<Vrl> {
        load(self.point, self.plan.parts.get(part)?)
    }

    /// The slot of `path`, loaded, and the path inside it.
    fn slot(&mut self, path: &OwnedTargetPath) -> Option<(&mut Option<Vrl>, &OwnedValuePath)> {
        let entry = self.plan.entry(path)?;
        if self.memory.slots[entry.part].value.get().is_none() {
            let loaded = self.load(entry.part);
            self.memory.slots[entry.part].value = OnceCell::from(loaded);
        }
        let slot = &mut self.memory.slots[entry.part];
        slot.is_written = true;
        Some((slot.value.get_mut()?, &entry.rest))
    }
}

fn load(point: &Point, part: &Part) -> Option<Vrl> {
    Some(match part {
        Part::Root => root(point),
        Part::Category => from_text(category(point.category)),
        Part::Name => from_text(&point.name),
        Part::Time => from_time(point.time),
        Part::Start => from_time(point.start),
        Part::Tags => from_tags(&point.tags),
        Part::Tag(key) => from_text(point.tags.get(key)?),
        Part::Fields => from_fields(&point.fields),
        Part::Field(key) => from_value(point.fields.get(key)?),
        Part::Resource => from_fields(&point.resource.as_ref()?.attributes()),
        Part::Attribute(key) => {
            let resource = point.resource.as_ref()?;
            match resource.text(key) {
                Some(text) => from_text(text),
                None => from_value(resource.attributes().get(key)?),
            }
        }
        Part::Scope => {
            let scope = point.scope.as_ref()?;
            let read = scope.read();
            Vrl::Object(
                [
                    ("name".into(), from_text(read.name())),
                    ("version".into(), from_text(read.version())),
                    ("attributes".into(), from_fields(&scope.attributes())),
                ]
                .into(),
            )
        }
    })
}

fn root(point: &Point) -> Vrl {
    let parts = [
        ("category", Part::Category),
        ("name", Part::Name),
        ("time", Part::Time),
        ("start", Part::Start),
        ("tags", Part::Tags),
        ("fields", Part::Fields),
        ("resource", Part::Resource),
        ("scope", Part::Scope),
    ];
    let there = parts
        .into_iter()
        .filter_map(|(key, part)| Some((key.into(), load(point, &part)?)));
    Vrl::Object(there.collect())
}

/// The word for a category, as in paths and in JSON.
pub(super) const fn category(category: Category) -> &'static str {
    match category {
        Category::Network => "network",
        Category::Metric => "metric",
        Category::Tracing => "tracing",
        Category::Logging => "logging",
    }
}

impl Target for Subject<'_> {
    fn target_get(&self, path: &OwnedTargetPath) -> Result<Option<&Vrl>, String> {
        let Some(entry) = self.plan.entry(path) else {
            let is_root = path.path.is_root() && path.prefix == PathPrefix::Event;
            return Ok(is_root.then_some(&ROOT));
        };
        let slot = &self.memory.slots[entry.part].value;
        let value = slot.get_or_init(|| self.load(entry.part)).as_ref();
        Ok(if entry.rest.is_root() {
            value
        } else {
            value.and_then(|own| own.get(&entry.rest))
        })
    }

    fn target_get_mut(&mut self, path: &OwnedTargetPath) -> Result<Option<&mut Vrl>, String> {
        let Some((value, rest)) = self.slot(path) else {
            return Ok(None);
        };
        Ok(value.as_mut().and_then(|own| own.get_mut(rest)))
    }

    fn target_insert(&mut self, path: &OwnedTargetPath, value: Vrl) -> Result<(), String> {
        if path == emitted_path() {
            if self.memory.emitted.len() >= MOST_EMITTED {
                return Err(format!("emit: more than {MOST_EMITTED} Points for one"));
            }
            self.memory.emitted.push(value);
            return Ok(());
        }
        let entry = self.plan.entry(path).ok_or("no part of a Point")?;
        if entry.rest.is_root() {
            self.memory.slots[entry.part] = Slot {
                value: OnceCell::from(Some(value)),
                is_written: true,
            };
        } else if let Some((slot, rest)) = self.slot(path) {
            slot.get_or_insert(Vrl::Null).insert(rest, value);
        }
        Ok(())
    }

    fn target_remove(
        &mut self,
        path: &OwnedTargetPath,
        compact: bool,
    ) -> Result<Option<Vrl>, String> {
        let Some((value, rest)) = self.slot(path) else {
            return Ok(None);
        };
        Ok(if rest.is_root() {
            value.take()
        } else {
            value.as_mut().and_then(|own| own.remove(rest, compact))
        })
    }
}

/// Programs have no secrets: the functions for them are left out.
impl SecretTarget for Subject<'_> {
    fn get_secret(&self, _key: &str) -> Option<&str> {
        None
    }

    fn insert_secret(&mut self, _key: &str, _value: &str) {}

    fn remove_secret(&mut self, _key: &str) {}
}
