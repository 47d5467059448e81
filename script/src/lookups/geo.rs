//! Where addresses are, by databases in MaxMind's format.

mod cache;
mod country;
mod database;
mod place;
mod province;
mod record;

use std::{
    error::Error,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tracing::{error, info};

pub use self::place::Place;
use self::{cache::Cache, database::Database};
use super::watched::{Look, Watch};
use crate::address::is_public;

/// What the databases of a folder end with.
const ENDING: &str = ".mmdb";

/// Which databases, and how much is kept of what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeoSettings {
    /// Files, and folders with files that end with `.mmdb`. The first one that knows an address answers.
    pub files: Vec<PathBuf>,
    /// How many addresses are remembered with their places; about 250 bytes each.
    pub cache: usize,
}

impl Default for GeoSettings {
    fn default() -> Self {
        Self {
            files: vec![PathBuf::from("/var/lib/weir/geoip")],
            cache: 65_536,
        }
    }
}

/// The databases in use.
#[derive(Debug)]
pub struct Geo {
    source: Mutex<Source>,
    current: ArcSwap<Databases>,
    unreadable: AtomicU64,
}

#[derive(Debug)]
struct Source {
    settings: GeoSettings,
    watch: Watch,
    broken: usize,
}

#[derive(Debug)]
struct Databases {
    files: Vec<(PathBuf, Arc<Database>)>,
    cache: Cache<Option<Arc<Place>>>,
}

impl Geo {
    /// Open the databases. Those that cannot be used are told in the log.
    pub(crate) fn open(settings: GeoSettings) -> Self {
        let look = look(&settings);
        let none = Databases::new(Vec::new(), 0);
        let (databases, broken) = none.next(&settings, &Look::default(), &look);
        Self {
            source: Mutex::new(Source {
                settings,
                watch: Watch::of(look),
                broken,
            }),
            current: ArcSwap::from_pointee(databases),
            unreadable: AtomicU64::new(0),
        }
    }

    /// Use other settings from now on. Databases that are open stay so.
    pub(crate) fn change(&self, settings: GeoSettings) {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        if source.settings == settings {
            return;
        }
        let new = look(&settings);
        let old = look(&source.settings);
        source.settings = settings;
        source.watch = Watch::of(new.clone());
        self.take(&mut source, &old, &new);
    }

    /// Open what has changed on disk. A file that cannot be used leaves what it was before in use.
    pub(crate) fn refresh(&self) {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let new = look(&source.settings);
        if let Some(old) = source.watch.due(&new) {
            self.take(&mut source, &old, &new);
        }
    }

    fn take(&self, source: &mut Source, old: &Look, new: &Look) {
        let (databases, broken) = self.current.load().next(&source.settings, old, new);
        source.broken = broken;
        self.current.store(Arc::new(databases));
    }

    /// Where the address is. Private, local and other addresses that mean no single machine are nowhere.
    pub fn place(&self, address: IpAddr) -> Option<Arc<Place>> {
        let address = address.to_canonical();
        if !is_public(address) {
            return None;
        }
        let databases = self.current.load();
        if databases.files.is_empty() {
            return None;
        }
        let find = || databases.find(address, &self.unreadable);
        databases.cache.get_or(address, find)
    }

    /// How many databases are in use, and how many files could not be used.
    pub fn files(&self) -> (usize, usize) {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        (self.current.load().files.len(), source.broken)
    }

    /// How many records could not be read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }
}

impl Databases {
    fn new(files: Vec<(PathBuf, Arc<Database>)>, cache: usize) -> Self {
        let cache = Cache::new(cache);
        Self { files, cache }
    }

    /// What is open after a change from `old` to `new`, and how many files are broken.
    fn next(&self, settings: &GeoSettings, old: &Look, new: &Look) -> (Self, usize) {
        let mut files = Vec::new();
        let mut broken = 0;
        for file in new.files() {
            let before = self.files.iter().find(|(path, _)| path == file);
            let before = before.map(|(_, database)| Arc::clone(database));
            let database = match before {
                Some(before) if new.agrees(old, file) => Some(before),
                before => open(file).or_else(|| {
                    broken += 1;
                    before
                }),
            };
            files.extend(database.map(|database| (file.to_owned(), database)));
        }
        (Self::new(files, settings.cache), broken)
    }

    fn find(&self, address: IpAddr, unreadable: &AtomicU64) -> Option<Arc<Place>> {
        for (_, database) in &self.files {
            match database.place(address) {
                Ok(Some(place)) => return Some(Arc::new(place)),
                Ok(None) => {}
                // Counted and not told: a broken file has many of them.
                Err(_) => {
                    unreadable.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        None
    }
}

fn look(settings: &GeoSettings) -> Look {
    Look::at(settings.files.iter().map(PathBuf::as_path), ENDING)
}

fn open(file: &Path) -> Option<Arc<Database>> {
    match Database::open(file) {
        Ok(database) => {
            let (kind, built) = (database.kind(), database.built());
            info!(file = %file.display(), kind, built, "GeoIP database opened");
            Some(Arc::new(database))
        }
        Err(error) => {
            let source = error.source().map(ToString::to_string);
            let source = source.unwrap_or_default();
            error!(file = %file.display(), "GeoIP database not used: {error}: {source}");
            None
        }
    }
}

#[cfg(test)]
mod tests;
