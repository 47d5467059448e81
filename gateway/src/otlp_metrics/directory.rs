//! The metrics by name: who had a name first, and which names are not to be had.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::{HashMap, HashSet};
use weir_point::otlp::metrics::Metric;

use super::{
    Cause,
    family::{Family, Kind},
    target,
};
use crate::{
    page,
    profile::{Profile, naming},
    self_metrics,
};

/// So that names made up by a client cannot fill the memory.
const MOST_METRICS: usize = 10_000;
/// How many ways to say a name are remembered.
const MOST_LOOKUPS: usize = 2 * MOST_METRICS;
const LONGEST_NAME: usize = 1024;
/// What agents count begins with this.
const OF_AGENTS: &str = "weir_agent_";

/// A place for a family. A family keeps its place, so that who walks over the places while
/// others come and go sees each family once.
pub(super) type Place = Arc<Mutex<Family>>;

/// All families.
#[derive(Debug)]
pub(super) struct Directory {
    places: Vec<Option<Place>>,
    free: Vec<usize>,
    /// Every name of a sample or family, and whose it is.
    names: HashMap<String, Owner>,
    /// What a metric was found to be, by kind, unit and name.
    lookups: HashMap<(Kind, Box<str>), Result<usize, Cause>>,
    reserved: HashSet<String>,
    /// Histograms of flows whose names are those of OpenTelemetry's conventions, which clients use by right:
    /// they are one metric on the page.
    shared: HashSet<String>,
}

/// Who has a name.
#[derive(Debug, Clone, Copy)]
struct Owner {
    place: usize,
    /// What it is on the page; `None` if the name is that of a part.
    kind: Option<page::Kind>,
}

impl Directory {
    /// No families yet; those of `profile` and the gateway's own have their names.
    pub(super) fn new(profile: &Profile) -> Self {
        let own = self_metrics::ALL.iter().flat_map(|own| {
            let parts: &[&str] = match own.kind {
                self_metrics::Kind::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
                self_metrics::Kind::Counter | self_metrics::Kind::Gauge => &[""],
            };
            parts.iter().map(|part| format!("{}{part}", own.name))
        });
        let groups = || profile.data_sets.iter().flat_map(|set| set.groups);
        let histograms = || {
            let histograms = groups().flat_map(|group| group.histograms);
            histograms.map(|own| {
                (
                    naming::plain(own.name, own.unit),
                    profile.is_convention(own.name),
                )
            })
        };
        let flows = groups().flat_map(|group| {
            let counters = group
                .counters
                .iter()
                .map(|counter| naming::metric(counter.name, counter.unit, naming::Kind::Counter));
            let gauges = group
                .gauges
                .iter()
                .map(|gauge| naming::metric(gauge.name, gauge.unit, naming::Kind::Gauge));
            counters.chain(gauges)
        });
        let parts = histograms().flat_map(|(name, _)| {
            let suffixes = Kind::Histogram.suffixes().iter();
            suffixes.map(move |suffix| format!("{name}{suffix}"))
        });
        let reserved = own
            .chain(flows)
            .chain(parts)
            .chain([target::NAME.to_owned()]);
        let mut directory = Self {
            places: Vec::new(),
            free: Vec::new(),
            names: HashMap::new(),
            lookups: HashMap::new(),
            reserved: HashSet::new(),
            shared: histograms()
                .filter_map(|(name, is_shared)| is_shared.then_some(name))
                .collect(),
        };
        reserved.for_each(|name| directory.reserve(name));
        directory
    }

    /// The name is not to be had, nor is the one that OpenMetrics makes of it.
    pub(super) fn reserve(&mut self, name: String) {
        if let Some(base) = name.strip_suffix("_total") {
            self.reserved.insert(base.to_owned());
        }
        self.reserved.insert(name);
    }

    /// Whether a metric has this name, or a part of one.
    pub(super) fn has(&self, name: &str) -> bool {
        self.reserved.contains(name) || self.names.contains_key(name) || name.starts_with(OF_AGENTS)
    }

    /// Whether flows have a metric of this name, too.
    pub(super) fn is_shared(&self, name: &str) -> bool {
        self.shared.contains(name)
    }

    /// The family of this name that flows have, too.
    pub(super) fn shared(&self, name: &str) -> Option<Place> {
        let owner = self.names.get(name)?;
        self.is_shared(name)
            .then(|| self.places[owner.place].clone())?
    }

    /// What is known of `metric`, whose unit and name are `key`; `None` if it never came.
    pub(super) fn find(&self, kind: Kind, key: &str) -> Option<Result<Place, Cause>> {
        let found = self.lookups.get(&Wanted(kind, key))?;
        Some(match found {
            Ok(place) => self.places[*place].clone().ok_or(Cause::NameTaken),
            Err(cause) => Err(*cause),
        })
    }

    /// The family of `metric`, new if need be.
    pub(super) fn open(
        &mut self,
        kind: Kind,
        key: &str,
        metric: &Metric<'_>,
    ) -> Result<Place, Cause> {
        if key.len() > LONGEST_NAME {
            return Err(Cause::TooLarge);
        }
        let found = self.place(kind, metric);
        // Room may be free again soon.
        if found != Err(Cause::MetricsLimit) {
            if self.lookups.len() >= MOST_LOOKUPS {
                self.lookups.clear();
            }
            self.lookups.insert((kind, key.into()), found);
        }
        self.places[found?].clone().ok_or(Cause::NameTaken)
    }

    fn place(&mut self, kind: Kind, metric: &Metric<'_>) -> Result<usize, Cause> {
        let name = kind.name(metric.name, metric.unit);
        if let Some(owner) = self.names.get(&name) {
            return match owner.kind {
                Some(own) if own == kind.shown() => Ok(owner.place),
                Some(_) => Err(Cause::Kind),
                None => Err(Cause::NameTaken),
            };
        }
        let names = kind.suffixes().iter();
        let names: Vec<(String, Option<page::Kind>)> = names
            .map(|suffix| {
                (
                    format!("{name}{suffix}"),
                    suffix.is_empty().then(|| kind.shown()),
                )
            })
            .collect();
        if self.is_shared(&name) {
            if kind != Kind::Histogram {
                return Err(Cause::Kind);
            }
        } else if names.iter().any(|(name, _)| self.has(name)) {
            return Err(Cause::NameTaken);
        }
        if self.places.len() - self.free.len() >= MOST_METRICS {
            return Err(Cause::MetricsLimit);
        }
        let family = Family::new(name, metric.name, metric.unit, kind);
        let family = Arc::new(Mutex::new(family));
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place] = Some(family);
                place
            }
            None => {
                self.places.push(Some(family));
                self.places.len() - 1
            }
        };
        let owners = names.into_iter();
        self.names
            .extend(owners.map(|(name, kind)| (name, Owner { place, kind })));
        Ok(place)
    }

    /// The place `index`: `None` past the last one, `Some(None)` where no family is.
    pub(super) fn at(&self, index: usize) -> Option<Option<Place>> {
        self.places.get(index).cloned()
    }

    /// Every family.
    pub(super) fn all(&self) -> Vec<Place> {
        self.places.iter().flatten().cloned().collect()
    }

    /// Give away the names of families without series.
    pub(super) fn drop_empty(&mut self) {
        let mut dropped = false;
        for (index, place) in self.places.iter_mut().enumerate() {
            // Nobody can come for it while this borrow lasts; who already has it may add to it.
            let unused = place
                .as_ref()
                .is_some_and(|family| Arc::strong_count(family) == 1 && lock(family).is_empty());
            if unused {
                *place = None;
                self.free.push(index);
                dropped = true;
            }
        }
        if dropped {
            let places = &self.places;
            self.names.retain(|_, owner| places[owner.place].is_some());
            self.lookups.clear();
        }
    }
}

/// A family, also after a panic while somebody else had it: its numbers are whole.
pub(super) fn lock(family: &Mutex<Family>) -> MutexGuard<'_, Family> {
    family.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A key of `lookups` that is not copied for a look.
#[derive(Hash)]
struct Wanted<'a>(Kind, &'a str);

impl hashbrown::Equivalent<(Kind, Box<str>)> for Wanted<'_> {
    fn equivalent(&self, (kind, key): &(Kind, Box<str>)) -> bool {
        self.0 == *kind && self.1 == &**key
    }
}
