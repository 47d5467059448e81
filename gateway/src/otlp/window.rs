//! Gathering Points so that each series has one data point per moment.

use std::{fmt::Write as _, sync::Arc};

use hashbrown::HashMap;
use weir_point::{Point, PointBatch, Text};

use crate::{
    aggregate::{Labels, Row},
    profile::{DataSet, Group, Profile, Scope},
};

/// Rows in one request. With all metrics of a row this stays well below the 4 MiB that
/// receivers take by default.
const ROWS_PER_REQUEST: usize = 256;

/// Points gathered for sending.
pub(super) struct Window {
    series: Vec<Series>,
    points: usize,
    /// Taken in, but without any number for OTLP.
    silent: usize,
    entries: Vec<Entry>,
    places: HashMap<Box<str>, usize>,
}

struct Series {
    set: &'static DataSet,
    group: &'static Group,
    labels: Labels,
}

/// One label set at one moment.
pub(super) struct Entry {
    pub(super) set: &'static DataSet,
    pub(super) group: &'static Group,
    pub(super) row: Row,
    pub(super) time: u64,
    /// Earliest of the Points; 0 where one does not know.
    pub(super) start: u64,
    /// How many Points count as sent with this.
    points: usize,
    batch: Arc<PointBatch>,
    place: usize,
}

/// What goes in one request.
pub(super) struct Part {
    pub(super) entries: Vec<Entry>,
    pub(super) points: usize,
}

impl Window {
    pub(super) fn new(profile: &'static Profile) -> Self {
        let series = profile
            .data_sets
            .iter()
            .flat_map(|set| set.groups.iter().map(move |group| (set, group)))
            .map(|(set, group)| Series {
                set,
                group,
                labels: Labels::new(set, group),
            })
            .collect();
        Self {
            series,
            points: 0,
            silent: 0,
            entries: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// The number of Points taken in.
    pub(super) fn points(&self) -> usize {
        self.points
    }

    /// Take in `batch`; returns how many Points are not in the profile.
    pub(super) fn add(&mut self, batch: &Arc<PointBatch>) -> usize {
        let mut unknown = 0;
        let mut key = String::new();
        for (place, point) in batch.points().iter().enumerate() {
            let mut taken = Taken::NotInProfile;
            for number in 0..self.series.len() {
                if self.series[number].set.point != point.name {
                    continue;
                }
                if !self.series[number].group.takes(point) {
                    taken = taken.max(Taken::Silent);
                    continue;
                }
                let first = taken < Taken::Counted;
                self.add_to(number, point, (batch, place), usize::from(first), &mut key);
                taken = Taken::Counted;
            }
            match taken {
                Taken::NotInProfile => unknown += 1,
                Taken::Silent => self.silent += 1,
                Taken::Counted => {}
            }
        }
        self.points += batch.len() - unknown;
        unknown
    }

    fn add_to(
        &mut self,
        number: usize,
        point: &Point,
        (batch, place): (&Arc<PointBatch>, usize),
        points: usize,
        key: &mut String,
    ) {
        let series = &self.series[number];
        key.clear();
        write!(key, "{number} {} ", point.time).expect("a String takes everything");
        series.labels.write(point, key);
        let entry = match self.places.get(key.as_str()) {
            Some(at) => &mut self.entries[*at],
            None => {
                self.places.insert(key.as_str().into(), self.entries.len());
                self.entries.push(Entry {
                    set: series.set,
                    group: series.group,
                    row: Row::new(series.group),
                    time: point.time,
                    start: point.start,
                    points: 0,
                    batch: Arc::clone(batch),
                    place,
                });
                let last = self.entries.len() - 1;
                &mut self.entries[last]
            }
        };
        entry.row.add(series.group, point);
        entry.start = entry.start.min(point.start);
        entry.points += points;
    }

    /// Everything, cut into requests, with what belongs to one resource together.
    pub(super) fn into_parts(mut self) -> impl Iterator<Item = Part> {
        self.entries.sort_by(|a, b| a.resource().cmp(b.resource()));
        let mut rest = self.entries.into_iter();
        let mut silent = self.silent;
        std::iter::from_fn(move || {
            let entries: Vec<Entry> = rest.by_ref().take(ROWS_PER_REQUEST).collect();
            let points = entries.iter().map(|entry| entry.points).sum::<usize>()
                + std::mem::take(&mut silent);
            (!entries.is_empty() || points > 0).then_some(Part { entries, points })
        })
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
    /// A Point with the tags of this entry.
    pub(super) fn point(&self) -> &Point {
        &self.batch.points()[self.place]
    }

    /// Equal for entries of one resource.
    pub(super) fn resource(&self) -> impl Iterator<Item = Option<&Text>> {
        let tags = &self.point().tags;
        self.set
            .attributes
            .iter()
            .filter(|attribute| attribute.scope == Scope::Resource)
            .map(|attribute| tags.get(attribute.tag))
    }
}
