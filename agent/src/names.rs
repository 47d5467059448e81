//! Which name an address was given by, to whom, and when: told by captured DNS answers, or by clients.
//!
//! The name is the one that was asked for, not the last alias before the address.

use std::{
    net::IpAddr,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hashbrown::HashMap;
use rustix::time::{ClockId, clock_gettime};

use weir_proto::flow::v1::DomainSource;

use crate::config;

/// Names of one address that are remembered. A client that asks for several in turn means each time the latest. A
/// connection's name is looked up a moment after it has begun, when others may have been told.
const MOST_NAMES: usize = 16;

/// One namespace may have this part of all the room.
const SHARE: usize = 4;

/// `CLOCK_MONOTONIC` in nanoseconds, the time that [`Names`] goes by.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// A name, and who told it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    text: Arc<str>,
    /// A DNS answer, or the server name of a TLS ClientHello.
    pub source: DomainSource,
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

/// The server name of a connection is seen a moment after it has begun.
const HELLO_AFTER: u64 = 2_000_000_000;

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    source: DomainSource,
    since_ns: u64,
    until_ns: u64,
}

/// The names of one address, the latest last.
type Of = Vec<Known>;

#[derive(Debug, Default)]
struct Inner {
    namespaces: HashMap<u32, HashMap<IpAddr, Of>>,
    addresses: usize,
    evicted: u64,
    floor_ns: u64,
    most: usize,
}

/// Names of addresses in each network namespace, bounded.
#[derive(Debug)]
pub struct Names {
    inner: Mutex<Inner>,
}

impl Names {
    /// Empty.
    #[must_use]
    pub fn new(config: &config::Names) -> Self {
        let names = Self {
            inner: Mutex::default(),
        };
        names.limit(config);
        names
    }

    /// From now on within these limits. What is remembered beyond them goes as others come.
    pub fn limit(&self, config: &config::Names) {
        let mut inner = self.lock();
        inner.floor_ns = config.floor.as_nanos() as u64;
        inner.most = config.max_entries;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client in the namespace `netns` was told at `now_ns` (`CLOCK_MONOTONIC`) that `name` is at `address`, for as long as `ttl`.
    ///
    /// It is remembered for at least the configured floor: a connection may be made with an old answer.
    pub fn learn(&self, netns: u32, address: IpAddr, name: &Arc<str>, ttl: Duration, now_ns: u64) {
        let mut inner = self.lock();
        let until_ns = now_ns.saturating_add(inner.floor_ns.max(ttl.as_nanos() as u64));
        let known = Known {
            name: Arc::clone(name),
            source: DomainSource::Dns,
            since_ns: now_ns,
            until_ns,
        };
        inner.keep(netns, address, known, now_ns);
    }

    /// A client in the namespace `netns` asked at `now_ns` the server at `address` by this name, in a ClientHello. What a
    /// DNS answer told is not changed by that.
    pub fn learn_server(&self, netns: u32, address: IpAddr, name: &str, now_ns: u64) {
        if self
            .find(netns, address, now_ns)
            .is_some_and(|known| known.source == DomainSource::Dns)
        {
            return;
        }
        let mut inner = self.lock();
        let known = Known {
            name: name.into(),
            source: DomainSource::Sni,
            since_ns: now_ns.saturating_sub(HELLO_AFTER),
            until_ns: now_ns.saturating_add(inner.floor_ns),
        };
        inner.keep(netns, address, known, now_ns);
    }

    /// The name by which `address` was known in the namespace `netns` at `at_ns` (`CLOCK_MONOTONIC`): the latest that
    /// was told before, if it is not too old.
    #[must_use]
    pub fn find(&self, netns: u32, address: IpAddr, at_ns: u64) -> Option<Name> {
        let inner = self.lock();
        let names = inner.namespaces.get(&netns)?.get(&address)?;
        let latest = names.iter().rev().find(|known| known.since_ns <= at_ns)?;
        (at_ns <= latest.until_ns).then(|| Name {
            text: Arc::clone(&latest.name),
            source: latest.source,
        })
    }

    /// Lets go of what is too old at `now_ns`, and of namespaces that are gone.
    pub fn sweep(&self, now_ns: u64, is_there: impl Fn(u32) -> bool) {
        let mut inner = self.lock();
        inner.namespaces.retain(|netns, _| is_there(*netns));
        for namespace in inner.namespaces.values_mut() {
            forget_old(namespace, now_ns);
        }
        inner
            .namespaces
            .retain(|_, addresses| !addresses.is_empty());
        inner.addresses = inner.namespaces.values().map(HashMap::len).sum();
    }

    /// Addresses that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().addresses
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Addresses that went before their time, for want of room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.lock().evicted
    }
}

fn forget_old(addresses: &mut HashMap<IpAddr, Of>, now_ns: u64) {
    addresses.retain(|_, names| names.iter().any(|known| known.until_ns >= now_ns));
}

impl Inner {
    fn keep(&mut self, netns: u32, address: IpAddr, known: Known, now_ns: u64) {
        let most = self.most;
        self.make_room(netns, address, most, now_ns);
        if most == 0 {
            return;
        }
        let namespace = self.namespaces.entry(netns).or_default();
        let names = namespace.entry(address).or_insert_with(|| {
            self.addresses += 1;
            Vec::with_capacity(1)
        });
        if let Some(latest) = names.last_mut()
            && (&latest.name, latest.source) == (&known.name, known.source)
        {
            latest.until_ns = latest.until_ns.max(known.until_ns);
            return;
        }
        if names.len() >= MOST_NAMES {
            names.remove(0);
        }
        names.push(known);
    }

    /// For one more address. What is too old goes first, then whatever comes to hand, first of the namespace that has its
    /// share.
    fn make_room(&mut self, netns: u32, address: IpAddr, most: usize, now_ns: u64) {
        let Some(own) = self.namespaces.get_mut(&netns) else {
            return self.make_room_anywhere(most);
        };
        if own.contains_key(&address) {
            return;
        }
        if own.len() >= (most / SHARE).max(1) {
            let before = own.len();
            // Only where it may help: the first is as old as any.
            if own
                .values()
                .next()
                .is_some_and(|names| names.iter().all(|known| known.until_ns < now_ns))
            {
                forget_old(own, now_ns);
            }
            if own.len() == before
                && let Some(some) = own.keys().next().copied()
            {
                own.remove(&some);
                self.evicted += 1;
            }
            self.addresses -= before - own.len();
        }
        self.make_room_anywhere(most);
    }

    fn make_room_anywhere(&mut self, most: usize) {
        while self.addresses >= most {
            let Some(largest) = self
                .namespaces
                .values_mut()
                .max_by_key(|addresses| addresses.len())
            else {
                return;
            };
            let Some(some) = largest.keys().next().copied() else {
                return;
            };
            largest.remove(&some);
            self.addresses -= 1;
            self.evicted += 1;
        }
    }
}

#[cfg(test)]
mod tests;
