//! What was found for an address lately.

use std::{
    hash::BuildHasher,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use hashbrown::{DefaultHashBuilder, HashMap};

/// So many threads rarely wait for each other.
const SHARDS: usize = 16;

/// A bounded number of answers. When half of it is new, the other half is forgotten, but for what was asked for again.
#[derive(Debug)]
pub(super) struct Cache<T> {
    hasher: DefaultHashBuilder,
    shards: [Mutex<Generations<T>>; SHARDS],
    /// Of one shard.
    half: usize,
}

#[derive(Debug)]
struct Generations<T> {
    young: HashMap<IpAddr, T>,
    old: HashMap<IpAddr, T>,
}

impl<T: Clone> Cache<T> {
    /// For about `size` answers.
    pub(super) fn new(size: usize) -> Self {
        let empty = || {
            Mutex::new(Generations {
                young: HashMap::new(),
                old: HashMap::new(),
            })
        };
        Self {
            hasher: DefaultHashBuilder::default(),
            shards: std::array::from_fn(|_| empty()),
            half: (size / SHARDS / 2).max(1),
        }
    }

    /// The answer for `address`, which `find` gives if it is not known.
    pub(super) fn get_or(&self, address: IpAddr, find: impl FnOnce() -> T) -> T {
        let hash = self.hasher.hash_one(address);
        #[expect(clippy::cast_possible_truncation, reason = "any bits choose a shard")]
        let shard = &self.shards[hash as usize % SHARDS];
        let lock = || shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(address, self.half) {
            return known;
        }
        // Not locked: two threads that look for the same find the same.
        let found = find();
        lock().put(address, found.clone(), self.half);
        found
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let shards = self.shards.iter().map(|own| own.lock().expect("no panic"));
        shards.map(|own| own.young.len() + own.old.len()).sum()
    }
}

impl<T: Clone> Generations<T> {
    fn get(&mut self, address: IpAddr, half: usize) -> Option<T> {
        if let Some(known) = self.young.get(&address) {
            return Some(known.clone());
        }
        let known = self.old.remove(&address)?;
        self.put(address, known.clone(), half);
        Some(known)
    }

    fn put(&mut self, address: IpAddr, value: T, half: usize) {
        if self.young.len() >= half {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(address, value);
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, net::Ipv4Addr};

    use super::*;

    #[test]
    fn an_address_is_looked_up_once_while_it_is_in_use_and_the_cache_stays_small() {
        let cache = Cache::new(1600);
        let asked = Cell::new(0);
        let find = |number: u32| {
            let address = IpAddr::from(Ipv4Addr::from(number));
            cache.get_or(address, || {
                asked.set(asked.get() + 1);
                number
            })
        };
        for round in 0..100_000 {
            assert_eq!(find(7), 7);
            assert_eq!(find(1000 + round), 1000 + round);
        }
        assert_eq!(asked.get(), 100_001);
        assert!(cache.len() <= 1600, "{}", cache.len());
    }
}
