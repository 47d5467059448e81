//! Which packets were seen a moment ago: one host shows the same packet at several devices (a VLAN and its link, a bridge and
//! its ports, a bond), and once more under another address where it is translated.

use std::hash::{BuildHasher as _, Hash};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

/// Packets of either generation.
const MOST: usize = 32_768;

/// How long a packet takes at most from one device of a host to the next, in nanoseconds.
const MOMENT: u64 = 1_000_000_000;

/// Packets of one namespace and the device at which each was seen first, in two generations.
#[derive(Debug, Default)]
pub(super) struct Seen {
    hasher: DefaultHashBuilder,
    young: HashTable<Sighting>,
    old: HashTable<Sighting>,
}

/// A packet by its hash; when and at which device it was seen.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    packet: u64,
    when: u64,
    device: u32,
}

impl Seen {
    /// Whether `packet`, seen now at `device`, was first seen at another a moment ago.
    ///
    /// The same bytes at the same device are another packet: a client that asks again.
    pub(super) fn elsewhere(&mut self, packet: impl Hash, device: u32, now: u64) -> bool {
        let hash = self.hasher.hash_one(packet);
        let first = self.find(hash, now);
        if first.is_some_and(|first| first.device != device) {
            return true;
        }
        self.keep(hash, device, now);
        false
    }

    /// Remembers `packet`.
    pub(super) fn note(&mut self, packet: impl Hash, device: u32, now: u64) {
        let hash = self.hasher.hash_one(packet);
        self.keep(hash, device, now);
    }

    /// Whether `packet` was noted a moment ago.
    pub(super) fn contains(&self, packet: impl Hash, now: u64) -> bool {
        if self.young.is_empty() && self.old.is_empty() {
            return false;
        }
        let hash = self.hasher.hash_one(packet);
        self.find(hash, now).is_some()
    }

    fn find(&self, packet: u64, now: u64) -> Option<Sighting> {
        let is_it = |seen: &Sighting| seen.packet == packet;
        let seen = self.young.find(packet, is_it);
        let seen = seen.or_else(|| self.old.find(packet, is_it)).copied();
        seen.filter(|seen| now.saturating_sub(seen.when) < MOMENT)
    }

    fn keep(&mut self, packet: u64, device: u32, when: u64) {
        if self.young.len() >= MOST {
            self.next();
        }
        let sighting = Sighting {
            packet,
            when,
            device,
        };
        let is_it = |seen: &Sighting| seen.packet == packet;
        match self.young.entry(packet, is_it, |seen| seen.packet) {
            Entry::Occupied(mut seen) => *seen.get_mut() = sighting,
            Entry::Vacant(place) => {
                place.insert(sighting);
            }
        }
    }

    /// The young become the old. Their memory goes only when packets have become few.
    fn next(&mut self) {
        std::mem::swap(&mut self.young, &mut self.old);
        let most = self.old.len() * 2;
        self.young.clear();
        self.young.shrink_to(most, |seen| seen.packet);
    }

    /// Lets go of what is older than a moment. Call about once a second.
    pub(super) fn forget(&mut self) {
        self.next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_at_a_second_device_is_the_same_and_at_the_first_another() {
        let mut seen = Seen::default();
        assert!(!seen.elsewhere("query", 2, 100));
        assert!(seen.elsewhere("query", 3, 110));
        assert!(!seen.elsewhere("query", 2, 5000), "asked again");
        assert!(seen.elsewhere("query", 3, 5010));
        assert!(!seen.elsewhere("another", 3, 5010));
        assert!(!seen.elsewhere("query", 3, 5000 + MOMENT), "long after");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut seen = Seen::default();
        for number in 0..200_000 {
            seen.note(number, 1, 1);
        }
        assert!(seen.young.len() + seen.old.len() <= 2 * MOST);
        assert!(seen.contains(199_999, 2) && !seen.contains(0, 2));
    }
}
