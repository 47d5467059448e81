//! Budgets of label values: how many values of a tag the series of a metric may have. Past it, a new value is
//! written `~other`, so that one tag without bounds costs its own detail and not that of all others.

use std::{
    hash::BuildHasher as _,
    time::{Duration, Instant},
};

use hashbrown::{DefaultHashBuilder, HashMap, hash_map::Entry};
use metrics::{Counter, Gauge};
use tracing::warn;
use weir_runtime::config::Section;

use crate::{
    aggregate::OTHER,
    profile::{NATIVE, Profile, SEMCONV},
};

/// Values per tag where nothing else is configured; about 250 KiB per tag and metric group when used up.
const VALUES: usize = 10_000;
/// The key of the number for all tags that are not named.
const DEFAULT: &str = "default";
/// How often a budget that is used up is logged.
const LOG_EVERY: Duration = Duration::from_secs(3600);

/// How much the series of a metric may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Most label sets.
    pub series: usize,
    /// Most values per tag.
    pub values: Limits,
}

/// Most values per tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// For tags that have no number of their own.
    pub default: usize,
    /// By tag.
    pub own: Vec<(String, usize)>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            default: VALUES,
            own: Vec::new(),
        }
    }
}

impl Limits {
    /// Reads the key `label_values`: a number for each tag, and one for all others under `default`.
    pub fn read(section: &mut Section<'_>) -> Self {
        let key = "label_values";
        let mut limits = Self::default();
        for (tag, most) in section.map::<usize>(key) {
            if most == 0 {
                section.mistake(key, format!("`{tag}` must be at least 1"));
            } else if tag == DEFAULT {
                limits.default = most;
            } else if [&SEMCONV, &NATIVE]
                .iter()
                .any(|profile| labels(profile, &tag))
            {
                limits.own.push((tag, most));
            } else {
                section.mistake(
                    key,
                    format!("no flow metric has a label of the tag `{tag}`"),
                );
            }
        }
        limits
    }

    fn of(&self, tag: &str) -> usize {
        let own = self.own.iter().find(|(name, _)| name == tag);
        own.map_or(self.default, |(_, most)| *most)
    }
}

/// Whether `tag` is a label of some metric of `profile`.
fn labels(profile: &'static Profile, tag: &str) -> bool {
    profile.data_sets.iter().any(|set| {
        let mut groups = set.groups.iter();
        groups.any(|group| set.attributes_of(group).any(|label| label.tag == tag))
    })
}

/// Which labels of a label set are `~other`, one bit each, in the order of the labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Folded(u128);

impl Folded {
    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether the label at this place is.
    pub(crate) fn has(self, place: usize) -> bool {
        self.0 & bit(place) != 0
    }

    fn add(&mut self, place: usize) {
        self.0 |= bit(place);
    }
}

/// None past the last one, so that what does not fit is never folded.
fn bit(place: usize) -> u128 {
    u32::try_from(place)
        .ok()
        .and_then(|place| 1_u128.checked_shl(place))
        .unwrap_or(0)
}

/// The values of each label among the label sets that are held. Values are known by hash: their text stands in the
/// label sets.
#[derive(Debug)]
pub(crate) struct LabelValues {
    labels: Vec<Values>,
    hashes: DefaultHashBuilder,
}

/// The values of one label.
#[derive(Debug)]
struct Values {
    group: &'static str,
    tag: &'static str,
    /// As it stands in label text.
    label: String,
    most: usize,
    /// In how many label sets each is.
    held: HashMap<u64, u32>,
    shown: Gauge,
    folded: Counter,
    notice: Notice,
}

/// One label that has a budget.
pub(crate) struct Label {
    pub(crate) tag: &'static str,
    /// As it stands in label text.
    pub(crate) name: String,
    /// Shows how many values are held.
    pub(crate) shown: Gauge,
    /// Counts Points whose value was written `~other`.
    pub(crate) folded: Counter,
}

impl LabelValues {
    /// Nothing held of these labels of the metrics of `group`, which stand in label text in this order.
    pub(crate) fn new(
        group: &'static str,
        labels: impl IntoIterator<Item = Label>,
        limits: &Limits,
    ) -> Self {
        let values = |label: Label| Values {
            group,
            most: limits.of(label.tag),
            tag: label.tag,
            label: label.name,
            held: HashMap::new(),
            shown: label.shown,
            folded: label.folded,
            notice: Notice::default(),
        };
        Self {
            labels: labels.into_iter().map(values).collect(),
            hashes: DefaultHashBuilder::default(),
        }
    }

    /// From now on these limits. Values that are held stay.
    pub(crate) fn limit(&mut self, limits: &Limits) {
        for values in &mut self.labels {
            values.most = limits.of(values.tag);
        }
    }

    /// Writes `text`, the labels of a Point, to `out`, with `~other` for each value that is not held and has no room.
    /// Returns which those are; a value that is `~other` by itself is one, too.
    pub(crate) fn fold(&mut self, text: &str, out: &mut String) -> Folded {
        out.clear();
        let mut folded = Folded::default();
        self.each(text, |place, values, value, hash| {
            let is_other = value == OTHER;
            let has_room = values.held.len() < values.most || bit(place) == 0;
            let fits = !is_other && (has_room || values.held.contains_key(&hash));
            if !fits {
                folded.add(place);
            }
            if !fits && !is_other {
                values.folded.increment(1);
                values.say_full();
            }
            if !out.is_empty() {
                out.push(',');
            }
            out.push_str(&values.label);
            out.push_str("=\"");
            out.push_str(if fits { value } else { OTHER });
            out.push('"');
        });
        folded
    }

    /// A label set with the labels `text` is held from now on.
    pub(crate) fn hold(&mut self, text: &str) {
        self.each(text, |_, values, value, hash| {
            if value != OTHER {
                *values.held.entry(hash).or_default() += 1;
                values.show();
            }
        });
    }

    /// The label set with the labels `text` is held no more.
    pub(crate) fn release(&mut self, text: &str) {
        self.each(text, |_, values, _, hash| {
            if let Entry::Occupied(mut held) = values.held.entry(hash) {
                *held.get_mut() -= 1;
                if *held.get() == 0 {
                    held.remove();
                    values.shrink();
                    values.show();
                }
            }
        });
    }

    /// Calls `with` for each label in `text`: its place, what is held of it, its value as it stands there, and the
    /// hash of that. Labels in `text` stand in our order; some may be absent.
    fn each(&mut self, text: &str, mut with: impl FnMut(usize, &mut Values, &str, u64)) {
        let mut place = 0;
        for (name, value) in parts(text) {
            while self.labels.get(place).is_some_and(|own| own.label != name) {
                place += 1;
            }
            let Some(values) = self.labels.get_mut(place) else {
                return;
            };
            with(place, values, value, self.hashes.hash_one(value));
        }
    }
}

impl Values {
    fn shrink(&mut self) {
        let left = self.held.len();
        if left < self.held.capacity() / 4 {
            self.held.shrink_to(left * 2);
        }
    }

    fn show(&self) {
        let held = u32::try_from(self.held.len()).unwrap_or(u32::MAX);
        self.shown.set(held);
    }

    fn say_full(&mut self) {
        if self.notice.is_due() {
            let Self {
                group, tag, most, ..
            } = self;
            warn!(
                group,
                tag, most, "the budget of label values is used up: new ones are written ~other"
            );
        }
    }
}

/// Lets something be said once an hour.
#[derive(Debug, Default)]
pub(crate) struct Notice {
    said: Option<Instant>,
}

impl Notice {
    /// Whether it was not said for an hour; if so, it is said now.
    pub(crate) fn is_due(&mut self) -> bool {
        let is_due = self.said.is_none_or(|said| said.elapsed() >= LOG_EVERY);
        if is_due {
            self.said = Some(Instant::now());
        }
        is_due
    }
}

/// The labels in `text`, each with its value as it stands between the quotes.
fn parts(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (name, value) = rest.split_once("=\"")?;
        let bytes = value.as_bytes();
        let mut end = 0;
        while *bytes.get(end)? != b'"' {
            // What follows a backslash is not the end.
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let (value, after) = value.split_at_checked(end)?;
        rest = after.get(1..)?;
        rest = rest.strip_prefix(',').unwrap_or(rest);
        Some((name, value))
    })
}

#[cfg(test)]
mod tests;
