//! Gathering Points so that each series has one data point per moment.

use std::{fmt::Write as _, mem, sync::Arc};

use hashbrown::HashMap;
use weir_point::{Point, PointBatch};

use super::{envelope, wire::Value};
use crate::{
    aggregate::{Labels, OTHER, Row},
    budget::Folded,
    profile::{Attribute, DataSet, Group, Profile},
};

/// One group of metrics of a profile.
pub(super) struct Kind {
    pub(super) set: &'static DataSet,
    pub(super) group: &'static Group,
    pub(super) labels: Labels,
}

/// Points that are being gathered.
pub(super) struct Window {
    kinds: Vec<Kind>,
    gathered: Gathered,
    /// By kind, time and labels.
    places: HashMap<Box<str>, usize>,
    /// Scratch space.
    key: String,
}

/// What a window held.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) entries: Vec<Entry>,
    /// Points that were taken in without any number for OTLP.
    pub(super) silent: usize,
    /// All Points that were taken in.
    pub(super) points: usize,
}

/// One label set at one moment.
pub(super) struct Entry {
    /// The place of its group among the kinds.
    pub(super) kind: usize,
    pub(super) set: &'static DataSet,
    pub(super) group: &'static Group,
    pub(super) row: Row,
    pub(super) time: u64,
    /// Earliest of the Points; 0 where one does not know.
    pub(super) start: u64,
    /// How many Points are delivered with this; one that is in several entries counts in the first.
    pub(super) points: usize,
    /// How many Points were added up here.
    pub(super) merged: usize,
    pub(super) origin: Origin,
    /// Which of its tags are `~other`.
    pub(super) folded: Folded,
}

/// Where an entry has its tags from.
pub(super) enum Origin {
    Point(Arc<PointBatch>, usize),
    /// All tags are `~other`.
    Other,
}

/// Every group of `profile`.
pub(super) fn kinds(profile: &'static Profile) -> Vec<Kind> {
    let groups = profile
        .data_sets
        .iter()
        .flat_map(|set| set.groups.iter().map(move |group| (set, group)));
    let kind = |(set, group)| Kind {
        set,
        group,
        labels: Labels::new(set, group),
    };
    groups.map(kind).collect()
}

impl Window {
    pub(super) fn new(profile: &'static Profile) -> Self {
        Self {
            kinds: kinds(profile),
            gathered: Gathered::default(),
            places: HashMap::new(),
            key: String::new(),
        }
    }

    /// The number of Points taken in.
    pub(super) fn points(&self) -> usize {
        self.gathered.points
    }

    /// Everything taken in; the window is then empty.
    pub(super) fn take(&mut self) -> Gathered {
        self.places.clear();
        mem::take(&mut self.gathered)
    }

    /// Take in `batch`; returns how many Points are not in the profile.
    pub(super) fn add(&mut self, batch: &Arc<PointBatch>) -> usize {
        let mut unknown = 0;
        for (place, point) in batch.points().iter().enumerate() {
            let mut taken = Taken::NotInProfile;
            for kind in 0..self.kinds.len() {
                if self.kinds[kind].set.point != point.name {
                    continue;
                }
                if !self.kinds[kind].group.takes(point) {
                    taken = taken.max(Taken::Silent);
                    continue;
                }
                let first = taken < Taken::Counted;
                self.add_to(kind, point, (batch, place), usize::from(first));
                taken = Taken::Counted;
            }
            match taken {
                Taken::NotInProfile => unknown += 1,
                Taken::Silent => self.gathered.silent += 1,
                Taken::Counted => {}
            }
        }
        self.gathered.points += batch.len() - unknown;
        unknown
    }

    fn add_to(
        &mut self,
        number: usize,
        point: &Point,
        (batch, place): (&Arc<PointBatch>, usize),
        points: usize,
    ) {
        let kind = &self.kinds[number];
        let (key, entries) = (&mut self.key, &mut self.gathered.entries);
        key.clear();
        write!(key, "{number} {} ", point.time).expect("a String takes everything");
        kind.labels.write(point, key);
        let at = match self.places.get(key.as_str()) {
            Some(at) => *at,
            None => {
                self.places.insert(key.as_str().into(), entries.len());
                entries.push(Entry {
                    kind: number,
                    set: kind.set,
                    group: kind.group,
                    row: Row::new(kind.group),
                    time: point.time,
                    start: point.start,
                    points: 0,
                    merged: 0,
                    origin: Origin::Point(Arc::clone(batch), place),
                    folded: Folded::default(),
                });
                entries.len() - 1
            }
        };
        let entry = &mut entries[at];
        entry.row.add(kind.group, point);
        entry.start = entry.start.min(point.start);
        entry.points += points;
        entry.merged += 1;
    }
}

/// How far a Point got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Taken {
    NotInProfile,
    Silent,
    Counted,
}

impl Entry {
    /// A Point with the tags of this entry; `None` if all are `~other`.
    pub(super) fn point(&self) -> Option<&Point> {
        match &self.origin {
            Origin::Point(batch, place) => batch.points().get(*place),
            Origin::Other => None,
        }
    }

    /// What `attribute` of the resource or the series is here.
    pub(super) fn value(&self, attribute: &Attribute) -> Option<Value<'_>> {
        match self.point() {
            Some(point) if !attribute.is_in_series(point) => None,
            Some(_) if self.is_folded(attribute) => Some(Value::Text(OTHER.into())),
            Some(point) => envelope::value(attribute, point),
            None => Some(Value::Text(OTHER.into())),
        }
    }

    fn is_folded(&self, attribute: &Attribute) -> bool {
        !self.folded.is_none() && {
            let mut attributes = self.set.attributes_of(self.group);
            let place = attributes.position(|own| own.tag == attribute.tag);
            place.is_some_and(|place| self.folded.has(place))
        }
    }

    /// Equal for entries of one resource.
    pub(super) fn resource(&self) -> impl Iterator<Item = Option<&str>> {
        let point = self.point();
        self.set.resource().map(move |attribute| match point {
            Some(_) if self.is_folded(attribute) => Some(OTHER),
            Some(point) => point.tags.get(attribute.tag).map(|text| &**text),
            None => Some(OTHER),
        })
    }
}
