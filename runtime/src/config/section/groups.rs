//! Groups of keys whose number or names the writer of the file chooses.

use super::Section;
use crate::config::{
    Scalar,
    document::{Mapping, Value, join},
    tree::Tree,
};

impl Section<'_> {
    /// The sections under `key`, where the writer chooses the names (lower-case letters,
    /// digits, `-` and `_`); in the order of the file. An environment variable can
    /// override a key of a section in the file, but not add a section. For
    /// [`Document::keys`](super::Document::keys) there is one, called `<name>`.
    pub fn sections<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, &mut Section<'_>) -> T,
    ) -> Vec<(String, T)> {
        let mut group = self.inner(key);
        let names = group.names();
        names
            .into_iter()
            .map(|name| {
                let value = read(&name, &mut group.inner(&name));
                (name, value)
            })
            .collect()
    }

    /// The lists under `key`, where the writer chooses the names, as those of [`Self::sections`].
    pub fn lists<T: Scalar>(&mut self, key: &'static str) -> Vec<(String, Vec<T>)> {
        let mut group = self.inner(key);
        let names = group.names();
        names
            .into_iter()
            .map(|name| {
                let values = group.values(&name, Vec::new());
                (name, values)
            })
            .collect()
    }

    /// The names that the writer has chosen in this section.
    fn names(&mut self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        if self.reader.listing {
            names.push("<name>".to_owned());
        }
        for entry in self.map.into_iter().flat_map(Mapping::entries) {
            let is_plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
            let name = entry.key.as_str();
            if !name.is_empty() && name.chars().all(is_plain) {
                names.push(name.to_owned());
            } else {
                let path = join(&self.path, name);
                self.reader.remember(&path, None, false);
                let message = "a name is made of a-z, 0-9, `-` and `_`";
                self.reader
                    .mistake(entry.at.clone(), path, message.to_owned());
            }
        }
        names
    }

    /// The sections listed under `key`, in their order. They cannot be overridden by variables. For
    /// [`Document::keys`](crate::config::Document::keys) there is one, `key[]`.
    pub fn items<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_>) -> T,
    ) -> Vec<T> {
        let path = join(&self.path, key);
        self.reader.remember(&path, None, true);
        if self.reader.listing {
            return vec![read(&mut self.item(format!("{path}[]"), None))];
        }
        let node = self.map.and_then(|map| map.get(key)).map(|e| &e.node);
        let items = match node.map(|node| (&node.value, &node.at)) {
            None | Some((Value::Nothing, _)) => return Vec::new(),
            Some((Value::List(items), _)) => items,
            Some((other, at)) => {
                let message = format!("expected a list, found {}", other.what());
                self.reader.mistake(at.clone(), path, message);
                return Vec::new();
            }
        };
        let mut values = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match &item.value {
                Value::Map(map) => {
                    let mut section = self.item(path, Some(map));
                    section.at = Some(item.at.clone());
                    values.push(read(&mut section));
                }
                other => {
                    let message = format!("expected a group of keys, found {}", other.what());
                    self.reader.mistake(item.at.clone(), path, message);
                }
            }
        }
        values
    }

    fn item<'s>(&'s mut self, path: String, map: Option<&'s Mapping>) -> Section<'s> {
        Section {
            path,
            at: None,
            map,
            reader: self.reader,
        }
    }

    /// What stands under `key`, unread: for a reader that is not at hand. It may have `sections` at its top
    /// level; others are mistakes.
    pub fn tree(&mut self, key: &'static str, sections: &[&str]) -> Tree {
        let path = join(&self.path, key);
        self.reader.remember(&path, Some("{}".to_owned()), false);
        let node = self.map.and_then(|map| map.get(key)).map(|e| &e.node);
        match node.map(|node| (&node.value, &node.at)) {
            None | Some((Value::Nothing, _)) => Tree::default(),
            Some((Value::Map(map), _)) => {
                for entry in map.entries() {
                    if !sections.contains(&entry.key.as_str()) {
                        let message = format!("unknown; there are {}", sections.join(", "));
                        let path = join(&path, &entry.key);
                        self.reader.mistake(entry.at.clone(), path, message);
                    }
                }
                Tree(map.clone())
            }
            Some((other, at)) => {
                let message = format!("expected a group of keys, found {}", other.what());
                self.reader.mistake(at.clone(), path, message);
                Tree::default()
            }
        }
    }
}
