//! What runs at one moment: never changed, only replaced as a whole.

use std::{cmp::Ordering, sync::Arc};

use hashbrown::HashMap;
use weir_point::Category;
use weir_script::{Limits, Script};

use super::stats::Stats;

/// The name of the script for Points without an own one.
const DEFAULT: &str = "default";

/// Where a script comes from, the one that counts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Namespace {
    /// A file in the folder.
    Local,
    /// The API.
    Loaded,
    /// Part of weir.
    Shipped,
}

impl Namespace {
    pub(super) const ALL: [Self; 3] = [Self::Local, Self::Loaded, Self::Shipped];

    /// As in labels and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Loaded => "loaded",
            Self::Shipped => "shipped",
        }
    }
}

/// Which script it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) category: Category,
    pub(super) name: String,
    pub(super) namespace: Namespace,
}

impl Key {
    fn order(&self) -> (Category, &str, Namespace) {
        (self.category, &self.name, self.namespace)
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The words for categories in paths and labels.
pub(super) const CATEGORIES: [(Category, &str); 4] = [
    (Category::Network, "network"),
    (Category::Metric, "metric"),
    (Category::Tracing, "tracing"),
    (Category::Logging, "logging"),
];

pub(super) fn category_name(category: Category) -> &'static str {
    CATEGORIES[category as usize].1
}

/// A script that compiled.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) key: Key,
    pub(super) script: Script,
    pub(super) stats: Arc<Stats>,
}

/// The scripts of one category, by name.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    by_name: HashMap<Box<str>, Arc<Running>>,
    default: Option<Arc<Running>>,
}

impl Chosen {
    /// The one for `name`.
    pub(super) fn script(&self, name: &str) -> Option<&Arc<Running>> {
        self.by_name.get(name).or(self.default.as_ref())
    }
}

/// All that run, and what they may use up.
#[derive(Debug)]
pub(super) struct Set {
    categories: [Chosen; CATEGORIES.len()],
    pub(super) limits: Limits,
}

impl Set {
    /// Of these scripts, of which for one category and name the first counts.
    pub(super) fn new<'k>(
        scripts: impl Iterator<Item = (&'k Key, &'k Arc<Running>)>,
        limits: Limits,
    ) -> Self {
        let mut categories: [Chosen; CATEGORIES.len()] = Default::default();
        for (key, running) in scripts {
            let chosen = &mut categories[key.category as usize];
            let first = chosen
                .by_name
                .entry(key.name.as_str().into())
                .or_insert_with(|| Arc::clone(running));
            if key.name == DEFAULT {
                chosen.default = Some(Arc::clone(first));
            }
        }
        Self { categories, limits }
    }

    /// The scripts of `category`, if there are any.
    pub(super) fn of(&self, category: Category) -> Option<&Chosen> {
        let chosen = &self.categories[category as usize];
        (!chosen.by_name.is_empty()).then_some(chosen)
    }
}
