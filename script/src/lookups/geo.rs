//! Places of addresses, from databases in the MaxMind DB format.

mod names;
mod record;

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use maxminddb::Reader;
use weir_point::Text;

use super::file::Watched;

/// Databases are read into memory: one that is overwritten in place would otherwise end the process. Those of cities
/// have 60 to 140 MB.
const MOST_BYTES: u64 = 1 << 30;
/// Addresses in one generation of the cache, at about 100 bytes each.
const MOST_CACHED: usize = 32_768;
/// Parts of the cache, so that workers do not wait for each other.
const SHARDS: usize = 16;

/// Where an address is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Place {
    /// English name.
    pub country: Option<Text>,
    /// ISO 3166-1 alpha-2.
    pub country_code: Option<Text>,
    /// English name of the first subdivision.
    pub province: Option<Text>,
    /// ISO 3166-2, where known.
    pub province_code: Option<Text>,
    /// English name.
    pub city: Option<Text>,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
}

type Database = Reader<Arc<[u8]>>;

/// The databases that are in use.
#[derive(Debug, Default)]
struct Databases {
    readers: Vec<Arc<Database>>,
    cache: [Mutex<Generations>; SHARDS],
}

/// When the younger is full, the older goes.
#[derive(Debug, Default)]
struct Generations([HashMap<IpAddr, Option<Arc<Place>>>; 2]);

/// Finds places. Files that change are read anew.
#[derive(Debug)]
pub struct Geo {
    files: Mutex<Vec<Watched<Arc<Database>>>>,
    databases: ArcSwap<Databases>,
}

impl Geo {
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        Self {
            files: Mutex::new(files.into_iter().map(Watched::new).collect()),
            databases: ArcSwap::default(),
        }
    }

    /// Other files from now on; those that were there before are kept.
    pub(super) fn read_from(&self, files: Vec<PathBuf>) {
        let mut held = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *held);
        *held = files
            .into_iter()
            .map(|path| {
                let place = before.iter().position(|file| file.path() == path);
                place.map_or_else(|| Watched::new(path), |place| before.swap_remove(place))
            })
            .collect();
        self.use_what_is_there(&held);
    }

    pub(super) fn refresh(&self) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_new = false;
        for file in &mut *files {
            is_new |= file.refresh(MOST_BYTES, |bytes| {
                Reader::from_source(Arc::from(bytes)).map(Arc::new)
            });
        }
        if is_new {
            self.use_what_is_there(&files);
        }
    }

    fn use_what_is_there(&self, files: &[Watched<Arc<Database>>]) {
        let readers = files.iter().filter_map(Watched::made).map(Arc::clone);
        self.databases.store(Arc::new(Databases {
            readers: readers.collect(),
            cache: Default::default(),
        }));
    }

    /// Whether there is a database.
    pub(super) fn has_places(&self) -> bool {
        !self.databases.load().readers.is_empty()
    }

    /// Where `address` is. Addresses that are not of the internet are nowhere.
    pub fn place(&self, address: IpAddr) -> Option<Arc<Place>> {
        let address = address.to_canonical();
        if crate::kind_of(address) != "other" {
            return None;
        }
        let databases = self.databases.load();
        if databases.readers.is_empty() {
            return None;
        }
        let shard = &databases.cache[shard_of(address)];
        let mut held = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = held.find(address) {
            return found;
        }
        drop(held);
        let found = databases.find(address).map(Arc::new);
        held = shard.lock().unwrap_or_else(PoisonError::into_inner);
        held.keep(address, found.clone());
        found
    }
}

impl Databases {
    fn find(&self, address: IpAddr) -> Option<Place> {
        self.readers
            .iter()
            .find_map(|reader| record::place(reader, address))
    }
}

impl Generations {
    fn find(&mut self, address: IpAddr) -> Option<Option<Arc<Place>>> {
        let [young, old] = &mut self.0;
        if let Some(found) = young.get(&address) {
            return Some(found.clone());
        }
        // What is asked for again is kept.
        let found = old.remove(&address)?;
        self.keep(address, found.clone());
        Some(found)
    }

    fn keep(&mut self, address: IpAddr, place: Option<Arc<Place>>) {
        let [young, old] = &mut self.0;
        if young.len() >= MOST_CACHED / SHARDS {
            *old = std::mem::take(young);
        }
        young.insert(address, place);
    }
}

fn shard_of(address: IpAddr) -> usize {
    let last = match address {
        IpAddr::V4(v4) => v4.octets()[3] ^ v4.octets()[2],
        IpAddr::V6(v6) => v6.octets()[15] ^ v6.octets()[7],
    };
    usize::from(last) % SHARDS
}

#[cfg(test)]
mod tests;
