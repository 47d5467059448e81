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
        let sighting = Sighting {
            packet: self.hasher.hash_one(packet),
            when: now,
            device,
        };
        if self.young.len() >= MOST {
            self.forget();
        }
        match self
            .young
            .entry(sighting.packet, |seen| sighting.is_of(seen), Sighting::hash)
        {
            Entry::Occupied(seen) if sighting.follows(seen.get()) => return true,
            Entry::Occupied(mut seen) => *seen.get_mut() = sighting,
            Entry::Vacant(place) => {
                let old = self.old.find(sighting.packet, |seen| sighting.is_of(seen));
                if old.is_some_and(|old| sighting.follows(old)) {
                    return true;
                }
                place.insert(sighting);
            }
        }
        false
    }

    /// Remembers `packet`.
    pub(super) fn note(&mut self, packet: impl Hash, device: u32, now: u64) {
        let sighting = Sighting {
            packet: self.hasher.hash_one(packet),
            when: now,
            device,
        };
        if self.young.len() >= MOST {
            self.forget();
        }
        let young = &mut self.young;
        match young.entry(sighting.packet, |seen| sighting.is_of(seen), Sighting::hash) {
            Entry::Occupied(mut seen) => *seen.get_mut() = sighting,
            Entry::Vacant(place) => {
                place.insert(sighting);
            }
        }
    }

    /// Whether `packet` was noted a moment ago.
    pub(super) fn contains(&self, packet: impl Hash, now: u64) -> bool {
        if self.young.is_empty() && self.old.is_empty() {
            return false;
        }
        let packet = self.hasher.hash_one(packet);
        let is_it = |seen: &Sighting| seen.packet == packet;
        let noted = self.young.find(packet, is_it);
        let noted = noted.or_else(|| self.old.find(packet, is_it));
        noted.is_some_and(|noted| now.saturating_sub(noted.when) < MOMENT)
    }

    /// The young become the old, whose memory goes when packets have become few. Call about once a second.
    pub(super) fn forget(&mut self) {
        std::mem::swap(&mut self.young, &mut self.old);
        let most = self.old.len() * 2;
        self.young.clear();
        self.young.shrink_to(most, Sighting::hash);
    }
}

impl Sighting {
    fn hash(&self) -> u64 {
        self.packet
    }

    fn is_of(&self, other: &Self) -> bool {
        self.packet == other.packet
    }

    /// Whether it is `first` at a further device.
    fn follows(&self, first: &Self) -> bool {
        first.device != self.device && self.when.saturating_sub(first.when) < MOMENT
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
