//! Reading values from one section of a configuration.

mod groups;

use super::{
    Key,
    document::{Mapping, Node, Value, join},
    environment::Environment,
    mistake::{Mistake, Place, one_line},
    nearest::nearest,
    scalar::Scalar,
};

/// A group of keys of the configuration. A section that is not in the file is
/// an empty one.
#[derive(Debug)]
pub struct Section<'a> {
    path: String,
    /// Where its first key is written, if it is in the file.
    at: Option<Place>,
    map: Option<&'a Mapping>,
    reader: &'a mut Reader,
}

/// What has been asked for and what was found wrong, across all sections.
#[derive(Debug)]
pub(super) struct Reader {
    environment: Environment,
    /// Only the keys are of interest, as for the reference.
    listing: bool,
    known: Vec<Known>,
    mistakes: Vec<Mistake>,
}

#[derive(Debug)]
struct Known {
    path: String,
    default: Option<String>,
    is_section: bool,
}

/// Where the value of a key comes from.
enum Given<'a> {
    Variable(String, String),
    File(&'a Node),
    Nowhere,
}

impl<'a> Section<'a> {
    pub(super) fn root(map: &'a Mapping, reader: &'a mut Reader) -> Self {
        Self {
            path: String::new(),
            at: None,
            map: Some(map),
            reader,
        }
    }

    /// The section under `key`.
    pub fn section(&mut self, key: &'static str) -> Section<'_> {
        self.inner(key)
    }

    fn inner(&mut self, key: &str) -> Section<'_> {
        let path = join(&self.path, key);
        self.reader.remember(&path, None, true);
        let node = self.map.and_then(|map| map.get(key)).map(|e| &e.node);
        let map = match node.map(|node| &node.value) {
            None | Some(Value::Nothing) => None,
            Some(Value::Map(map)) => Some(map),
            Some(other) => {
                let place = node.map_or(Place::File, |node| node.at.clone());
                let message = format!("expected a group of keys, found {}", other.what());
                self.reader.mistake(place, path.clone(), message);
                None
            }
        };
        Section {
            path,
            at: node.map(|node| node.at.clone()),
            map,
            reader: self.reader,
        }
    }

    /// The value of `key`, or `default` if it is not given.
    pub fn or<T: Scalar>(&mut self, key: &'static str, default: T) -> T {
        let path = join(&self.path, key);
        self.reader.remember(&path, Some(default.show()), false);
        self.one(key, path).unwrap_or(default)
    }

    /// The value of `key`, if it is given.
    pub fn optional<T: Scalar>(&mut self, key: &'static str) -> Option<T> {
        let path = join(&self.path, key);
        self.reader.remember(&path, None, false);
        self.one(key, path)
    }

    /// Whether the file has this section.
    pub fn is_given(&self) -> bool {
        self.at.is_some()
    }

    /// Report `key` if it is given, as one that there is no more; `message` says what to do.
    pub fn gone(&mut self, key: &'static str, message: &str) {
        let path = join(&self.path, key);
        if let Given::File(node) = self.given(key, &path) {
            // Known, so that it is not called unknown as well.
            self.reader.remember(&path, None, false);
            self.reader
                .mistake(node.at.clone(), path, message.to_owned());
        }
    }

    /// The values listed under `key`; none if it is not given.
    pub fn list<T: Scalar>(&mut self, key: &'static str) -> Vec<T> {
        self.list_or(key, Vec::new())
    }

    /// The values listed under `key`, or `default` if it is not given. One value alone is a list of one.
    pub fn list_or<T: Scalar>(&mut self, key: &'static str, default: Vec<T>) -> Vec<T> {
        self.values(key, default)
    }

    fn values<T: Scalar>(&mut self, key: &str, default: Vec<T>) -> Vec<T> {
        let path = join(&self.path, key);
        let shown: Vec<String> = default.iter().map(Scalar::show).collect();
        let shown = format!("[{}]", shown.join(", "));
        self.reader.remember(&path, Some(shown), false);
        match self.given(key, &path) {
            Given::Nowhere => default,
            Given::Variable(name, text) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .filter_map(|item| {
                    let place = Place::Variable(name.clone());
                    self.reader.scalar(item, place, path.clone())
                })
                .collect(),
            Given::File(node) => match &node.value {
                Value::Nothing => default,
                Value::Scalar(_) => self.reader.node(node, path).into_iter().collect(),
                Value::List(items) => items
                    .iter()
                    .enumerate()
                    .filter_map(|(i, item)| self.reader.node(item, format!("{path}[{i}]")))
                    .collect(),
                other => {
                    let message = format!("expected a list, found {}", other.what());
                    self.reader.mistake(node.at.clone(), path, message);
                    Vec::new()
                }
            },
        }
    }

    /// The names and values under `key`, where the writer chooses the names; in
    /// the order of the file.
    pub fn map<T: Scalar>(&mut self, key: &'static str) -> Vec<(String, T)> {
        let path = join(&self.path, key);
        self.reader.remember(&path, Some("{}".to_owned()), false);
        match self.given(key, &path) {
            Given::Nowhere => Vec::new(),
            Given::Variable(name, text) => self.reader.pairs(&name, &text, &path),
            Given::File(node) => match &node.value {
                Value::Nothing => Vec::new(),
                Value::Map(map) => map
                    .entries()
                    .iter()
                    .filter_map(|entry| {
                        let value = self.reader.node(&entry.node, join(&path, &entry.key))?;
                        Some((entry.key.clone(), value))
                    })
                    .collect(),
                other => {
                    let message = format!("expected names and values, found {}", other.what());
                    self.reader.mistake(node.at.clone(), path, message);
                    Vec::new()
                }
            },
        }
    }

    /// Report that the value of `key` makes no sense, at the place it came from;
    /// if it is not given, at its section.
    pub fn mistake(&mut self, key: &'static str, message: impl Into<String>) {
        let path = join(&self.path, key);
        let place = match self.given(key, &path) {
            Given::Variable(name, _) => Place::Variable(name),
            Given::File(node) => node.at.clone(),
            Given::Nowhere => self.at.clone().unwrap_or(Place::File),
        };
        self.reader.mistake(place, path, message.into());
    }

    fn one<T: Scalar>(&mut self, key: &str, path: String) -> Option<T> {
        match self.given(key, &path) {
            Given::Nowhere => None,
            Given::Variable(name, text) => self.reader.scalar(&text, Place::Variable(name), path),
            Given::File(node) if matches!(node.value, Value::Nothing) => None,
            Given::File(node) => self.reader.node(node, path),
        }
    }

    fn given(&self, key: &str, path: &str) -> Given<'a> {
        if let Some((name, text)) = self.reader.environment.of(path) {
            return Given::Variable(name.to_owned(), text.to_owned());
        }
        match self.map.and_then(|map| map.get(key)) {
            Some(entry) => Given::File(&entry.node),
            None => Given::Nowhere,
        }
    }
}

impl Reader {
    pub(super) fn new(environment: Environment, mistakes: Vec<Mistake>) -> Self {
        Self {
            environment,
            listing: false,
            known: Vec::new(),
            mistakes,
        }
    }

    /// One that is not given a configuration, but asked which keys there are.
    pub(super) fn listing() -> Self {
        Self {
            listing: true,
            ..Self::new(Environment::default(), Vec::new())
        }
    }

    pub(super) fn into_keys(self) -> Vec<Key> {
        self.known
            .into_iter()
            .filter(|known| !known.is_section)
            .map(|Known { path, default, .. }| Key { path, default })
            .collect()
    }

    /// Every mistake made, now that it is known which keys exist.
    pub(super) fn finish(mut self, root: &Mapping) -> Vec<Mistake> {
        self.find_unknown(root, "");
        let keys: Vec<&str> = self
            .known
            .iter()
            .filter(|known| !known.is_section)
            .map(|known| known.path.as_str())
            .collect();
        let unknown = self.environment.unknown(&keys);
        self.mistakes.extend(unknown);
        self.mistakes
    }

    fn find_unknown(&mut self, map: &Mapping, section: &str) {
        for entry in map.entries() {
            let path = join(section, &entry.key);
            // A dot inside a key is not nesting, so such a key cannot be known.
            let known = self
                .known
                .iter()
                .find(|known| known.path == path && !entry.key.contains('.'));
            match known {
                Some(known) if known.is_section => match &entry.node.value {
                    Value::Map(inner) => self.find_unknown(inner, &path),
                    Value::List(items) => self.find_unknown_in(items, &path),
                    Value::Nothing | Value::Scalar(_) => {}
                },
                Some(_) => {}
                None => {
                    let message = format!("unknown key{}", self.hint(section, &entry.key));
                    self.mistake(entry.at.clone(), path, message);
                }
            }
        }
    }

    fn find_unknown_in(&mut self, items: &[Node], path: &str) {
        for (index, item) in items.iter().enumerate() {
            if let Value::Map(inner) = &item.value {
                self.find_unknown(inner, &format!("{path}[{index}]"));
            }
        }
    }

    /// A guess at the key that was meant: a sibling of nearly the same name,
    /// else a key of exactly this name in another section.
    fn hint(&self, section: &str, key: &str) -> String {
        let siblings = self.known.iter().filter_map(|known| {
            let (parent, name) = known.path.rsplit_once('.').unwrap_or(("", &known.path));
            (parent == section).then_some(name)
        });
        if let Some(meant) = nearest(key, siblings) {
            return format!("; did you mean `{meant}`?");
        }
        let elsewhere = self.known.iter().find(|known| {
            let path = known.path.as_str();
            path == key || path.rsplit_once('.').is_some_and(|(_, name)| name == key)
        });
        elsewhere
            .map(|known| format!("; there is `{}`, one name per level", known.path))
            .unwrap_or_default()
    }

    fn remember(&mut self, path: &str, default: Option<String>, is_section: bool) {
        if self.known.iter().all(|known| known.path != path) {
            self.known.push(Known {
                path: path.to_owned(),
                default,
                is_section,
            });
        }
    }

    fn node<T: Scalar>(&mut self, node: &Node, path: String) -> Option<T> {
        match &node.value {
            Value::Scalar(text) => self.scalar(text, node.at.clone(), path),
            other => {
                let message = format!("expected {}, found {}", T::WHAT, other.what());
                self.mistake(node.at.clone(), path, message);
                None
            }
        }
    }

    fn scalar<T: Scalar>(&mut self, text: &str, place: Place, path: String) -> Option<T> {
        match T::parse(text) {
            Ok(value) => Some(value),
            Err(why) => {
                let colon = if why.is_empty() { "" } else { ": " };
                let found = one_line(text);
                let message = format!("expected {}, found `{found}`{colon}{why}", T::WHAT);
                self.mistake(place, path, message);
                None
            }
        }
    }

    fn pairs<T: Scalar>(&mut self, variable: &str, text: &str, path: &str) -> Vec<(String, T)> {
        let mut pairs: Vec<(String, T)> = Vec::new();
        for item in text.split(',').map(str::trim).filter(|i| !i.is_empty()) {
            let place = Place::Variable(variable.to_owned());
            let Some((name, value)) = item.split_once('=') else {
                let message = format!("expected `name=value`, found `{item}`");
                self.mistake(place, path.to_owned(), message);
                continue;
            };
            let name = name.trim();
            if pairs.iter().any(|(known, _)| known == name) {
                self.mistake(place, join(path, name), "given twice".to_owned());
            } else if let Some(value) = self.scalar(value.trim(), place, join(path, name)) {
                pairs.push((name.to_owned(), value));
            }
        }
        pairs
    }

    fn mistake(&mut self, place: Place, key: String, message: String) {
        self.mistakes.push(Mistake {
            place,
            key,
            message,
        });
    }
}
