//! A small map from text to values, kept sorted.

use std::{fmt, num::NonZeroUsize, slice};

use crate::Text;

/// Up to so many entries, looking at all of them finds one as fast as anything.
const LOOKED_THROUGH: usize = 32;

/// Entries sorted by key, each key once, in one allocation. For the ten to twenty
/// entries of a Point this is smaller and faster than a tree or a hash map, and its
/// order is stable for every output.
#[derive(Clone)]
pub struct Table<V> {
    entries: Vec<(Text, V)>,
    /// What the entries were read from and still equal; `None` since they were changed.
    source: Option<NonZeroUsize>,
}

impl<V> Table<V> {
    /// An empty table with room for `capacity` entries.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            entries: Vec::with_capacity(capacity),
            source: None,
        }
    }

    /// Set `key` to `value`, and give back the value it had. Setting keys in sorted
    /// order costs one comparison each; any other order moves entries.
    pub fn set(&mut self, key: Text, value: impl Into<V>) -> Option<V> {
        let value = value.into();
        self.source = None;
        match self.entries.last() {
            Some((last, _)) if *last >= key => match self.position(&key) {
                Ok(found) => Some(std::mem::replace(&mut self.entries[found].1, value)),
                Err(place) => {
                    self.entries.insert(place, (key, value));
                    None
                }
            },
            _ => {
                self.entries.push((key, value));
                None
            }
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&V> {
        if self.entries.len() > LOOKED_THROUGH {
            let found = self.position(key).ok()?;
            return Some(&self.entries[found].1);
        }
        // Most keys differ in length: looking at all of them in a row is faster than
        // comparing the text of a few.
        let mut entries = self.entries.iter();
        let (_, value) = entries.find(|(candidate, _)| candidate.as_str() == key)?;
        Some(value)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        let found = self.position(key).ok()?;
        self.source = None;
        Some(&mut self.entries[found].1)
    }

    /// Take out `key`, and give back the value it had.
    pub fn remove(&mut self, key: &str) -> Option<V> {
        let found = self.position(key).ok()?;
        self.source = None;
        Some(self.entries.remove(found).1)
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> Iter<'_, V> {
        Iter(self.entries.iter())
    }

    /// Note what the entries were read from.
    pub(crate) fn read_from(&mut self, source: Option<NonZeroUsize>) {
        self.source = source;
    }

    /// Whether the entries are as they were read from `source`.
    pub(crate) fn is_from(&self, source: NonZeroUsize) -> bool {
        self.source == Some(source)
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|(candidate, _)| candidate.as_str().cmp(key))
    }
}

impl<V: PartialEq> PartialEq for Table<V> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

/// Of several entries with one key the last counts.
impl<V> FromIterator<(Text, V)> for Table<V> {
    fn from_iter<I: IntoIterator<Item = (Text, V)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        // Stable, and quick for what is sorted already.
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        entries.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        Self {
            entries,
            source: None,
        }
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            source: None,
        }
    }
}

impl<V: fmt::Debug> fmt::Debug for Table<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'a, V> IntoIterator for &'a Table<V> {
    type Item = (&'a Text, &'a V);
    type IntoIter = Iter<'a, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The entries of a [`Table`] in the order of their keys.
#[derive(Debug, Clone)]
pub struct Iter<'a, V>(slice::Iter<'a, (Text, V)>);

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (&'a Text, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<V> ExactSizeIterator for Iter<'_, V> {}
