//! YAML text as a tree that remembers where everything was written.

use std::borrow::Cow;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};

use super::mistake::{Mistake, Place, Position};

/// Nesting beyond this is no configuration, and would cost stack.
const MAX_DEPTH: usize = 32;

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Nothing, `~` or `null`: the same as leaving the key out.
    Nothing,
    Scalar(String),
    List(Vec<Node>),
    Map(Mapping),
}

impl Value {
    /// What it is, as said to the person who wrote it.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Scalar(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a group of keys",
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Mapping(Vec<Entry>);

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Place,
    pub(super) node: Node,
}

impl Mapping {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Keeps these keys only.
    pub(super) fn retain(&mut self, keys: &[&str]) {
        self.0.retain(|entry| keys.contains(&entry.key.as_str()));
    }

    /// Takes over what `layer` has; where both have a group of keys, key by key. Nothing is as good as no key.
    pub(super) fn overlay(&mut self, layer: Self) {
        for entry in layer.0 {
            if matches!(entry.node.value, Value::Nothing) {
                continue;
            }
            let own = self.0.iter_mut().find(|own| own.key == entry.key);
            match (own, entry) {
                (None, entry) => self.0.push(entry),
                (Some(own), entry) => match (&mut own.node.value, entry.node.value) {
                    (Value::Map(own), Value::Map(inner)) => own.overlay(inner),
                    (_, value) => {
                        own.at = entry.at;
                        own.node = Node {
                            at: entry.node.at,
                            value,
                        };
                    }
                },
            }
        }
    }

    /// Says of every place in it that it is in what lies over the file.
    pub(super) fn lift(&mut self) {
        for entry in &mut self.0 {
            entry.at.lift();
            entry.node.lift();
        }
    }
}

impl Node {
    fn lift(&mut self) {
        self.at.lift();
        match &mut self.value {
            Value::Map(map) => map.lift(),
            Value::List(items) => items.iter_mut().for_each(Self::lift),
            Value::Nothing | Value::Scalar(_) => {}
        }
    }
}

/// The keys and values of a file; `None` if it cannot be read to its end. In
/// both cases `mistakes` gains what is wrong with it.
pub(super) fn read(text: &str, mistakes: &mut Vec<Mistake>) -> Option<Mapping> {
    let events = Parser::new_from_str(text);
    Builder { events, mistakes }.file().ok()
}

/// The path of `key` inside the section at `parent`.
pub(super) fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() {
        key.to_owned()
    } else {
        format!("{parent}.{key}")
    }
}

/// The text cannot be read any further; why is recorded.
struct Broken;

struct Builder<'a, 'm> {
    events: Parser<'a, StrInput<'a>>,
    mistakes: &'m mut Vec<Mistake>,
}

impl<'a> Builder<'a, '_> {
    fn file(&mut self) -> Result<Mapping, Broken> {
        let mut root = Mapping::default();
        let mut documents = 0;
        loop {
            let (event, span) = self.next("")?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        self.mistake(
                            span.start,
                            "",
                            "a second document begins here; one file holds one",
                        );
                        return Ok(root);
                    }
                    let (event, span) = self.next("")?;
                    root = self.top_level(event, span)?;
                }
                _ => {}
            }
        }
    }

    fn top_level(&mut self, event: Event<'a>, span: Span) -> Result<Mapping, Broken> {
        match self.node(event, span, "", 0)?.value {
            Value::Map(root) => Ok(root),
            Value::Nothing => Ok(Mapping::default()),
            other => {
                let message = format!("expected `key: value` lines, found {}", other.what());
                self.mistake(span.start, "", message);
                Ok(Mapping::default())
            }
        }
    }

    fn node(
        &mut self,
        event: Event<'a>,
        span: Span,
        path: &str,
        depth: usize,
    ) -> Result<Node, Broken> {
        if depth > MAX_DEPTH {
            self.mistake(
                span.start,
                path,
                format!("nested deeper than {MAX_DEPTH} levels"),
            );
            return Err(Broken);
        }
        self.refuse_anchor_and_tag(&event, span, path);
        let value = match event {
            Event::Scalar(text, style, ..) => scalar(text, style),
            Event::SequenceStart(..) => self.list(path, depth)?,
            Event::MappingStart(..) => self.map(path, depth)?,
            _ => Value::Nothing,
        };
        let at = Place::At(position(span.start));
        Ok(Node { at, value })
    }

    fn list(&mut self, path: &str, depth: usize) -> Result<Value, Broken> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next(path)?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Value::List(items));
            }
            let path = format!("{path}[{}]", items.len());
            items.push(self.node(event, span, &path, depth + 1)?);
        }
    }

    fn map(&mut self, path: &str, depth: usize) -> Result<Value, Broken> {
        let mut map = Mapping::default();
        loop {
            let (event, span) = self.next(path)?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Value::Map(map));
            }
            let key = match self.node(event, span, path, depth + 1)?.value {
                Value::Scalar(text) => Some(text),
                other => {
                    let message = format!("a key is a single word, found {}", other.what());
                    self.mistake(span.start, path, message);
                    None
                }
            };
            let key_path = join(path, key.as_deref().unwrap_or("?"));
            let (event, value_span) = self.next(&key_path)?;
            let node = self.node(event, value_span, &key_path, depth + 1)?;
            let Some(key) = key else { continue };
            if let Some(Place::At(first)) = map.get(&key).map(|entry| &entry.at) {
                let message = format!("given twice; first on line {}", first.line);
                self.mistake(span.start, &key_path, message);
                continue;
            }
            let at = Place::At(position(span.start));
            map.0.push(Entry { key, at, node });
        }
    }

    fn refuse_anchor_and_tag(&mut self, event: &Event<'_>, span: Span, path: &str) {
        let (anchor, tag) = match event {
            Event::Alias(_) => (true, false),
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(anchor, tag)
            | Event::MappingStart(anchor, tag) => (*anchor != 0, tag.is_some()),
            _ => (false, false),
        };
        if anchor {
            self.mistake(
                span.start,
                path,
                "anchors and aliases (`&`, `*`) are not supported; quote the value if it is text",
            );
        }
        if tag {
            self.mistake(
                span.start,
                path,
                "tags (`!`) are not supported; quote the value if it is text",
            );
        }
    }

    fn next(&mut self, path: &str) -> Result<(Event<'a>, Span), Broken> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                self.mistake(*error.marker(), path, format!("not YAML: {}", error.info()));
                Err(Broken)
            }
            None => {
                self.mistakes.push(Mistake {
                    place: Place::File,
                    key: path.to_owned(),
                    message: "not YAML: the text ends too early".to_owned(),
                });
                Err(Broken)
            }
        }
    }

    fn mistake(&mut self, at: Marker, key: &str, message: impl Into<String>) {
        self.mistakes.push(Mistake {
            place: Place::At(position(at)),
            key: key.to_owned(),
            message: message.into(),
        });
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle) -> Value {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
        Value::Nothing
    } else {
        Value::Scalar(text.into_owned())
    }
}

fn position(marker: Marker) -> Position {
    Position {
        line: marker.line(),
        column: marker.col() + 1,
    }
}
