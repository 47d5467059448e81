//! A small map from text to values, kept sorted.

use std::{fmt, slice};

use crate::Text;

/// Entries sorted by key, each key once, in one allocation. For the ten to twenty
/// entries of a Point this is smaller and faster than a tree or a hash map, and its
/// order is stable for every output.
#[derive(Clone, PartialEq)]
pub struct Table<V> {
    entries: Vec<(Text, V)>,
}

impl<V> Table<V> {
    /// An empty table with room for `capacity` entries.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            entries: Vec::with_capacity(capacity),
        }
    }

    /// Set `key` to `value`, and give back the value it had. Setting keys in sorted
    /// order costs one comparison each; any other order moves entries.
    pub fn set(&mut self, key: Text, value: impl Into<V>) -> Option<V> {
        let value = value.into();
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
        // Most keys differ in length: looking at all of them in a row is faster than
        // comparing the text of a few.
        let mut entries = self.entries.iter();
        let (_, value) = entries.find(|(candidate, _)| candidate.as_str() == key)?;
        Some(value)
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

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|(candidate, _)| candidate.as_str().cmp(key))
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
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
