//! Reads the Prometheus text format, and refuses what Prometheus would.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Labels = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) samples: Vec<(String, Labels, f64)>,
    /// Family to its type.
    pub(crate) types: BTreeMap<String, String>,
    /// Family to its help text.
    pub(crate) helps: BTreeMap<String, String>,
    /// Sample to its value as it was written.
    pub(crate) written: BTreeMap<String, String>,
}

impl Page {
    pub(crate) fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut seen = BTreeSet::new();
        let mut family = String::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("a help text");
                let before = page.helps.insert(name.to_owned(), unescaped(help));
                assert!(before.is_none(), "help twice: {line}");
                continue;
            }
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type");
                let before = page.types.insert(name.to_owned(), kind.to_owned());
                assert!(before.is_none(), "family twice: {line}");
                name.clone_into(&mut family);
                continue;
            }
            let (series, written) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, parse_labels(labels)),
                None => (series, Labels::new()),
            };
            assert!(is_name(name), "{line}");
            page.assert_part(name, &family, line);
            assert!(
                seen.insert((name.to_owned(), labels.clone())),
                "series twice: {line}"
            );
            let value = written.parse().expect("a number");
            page.written.insert(series.to_owned(), written.to_owned());
            page.samples.push((name.to_owned(), labels, value));
        }
        page.assert_histograms();
        page
    }

    fn assert_part(&self, name: &str, family: &str, line: &str) {
        let parts: &[&str] = match self.types.get(family).map(String::as_str) {
            Some("histogram") => &["_bucket", "_sum", "_count"],
            Some("summary") => &["", "_sum", "_count"],
            _ => &[""],
        };
        let part = name.strip_prefix(family);
        assert!(
            part.is_some_and(|part| parts.contains(&part)),
            "not in {family}: {line}"
        );
    }

    /// Buckets grow with their bounds, up to the count.
    fn assert_histograms(&self) {
        for name in self.types.iter().filter(|(_, kind)| *kind == "histogram") {
            let name = name.0;
            let mut series = BTreeMap::<Labels, Vec<(f64, f64)>>::new();
            for (_, labels, value) in self.named(&format!("{name}_bucket")) {
                let mut labels = labels.clone();
                let bound = labels.remove("le").expect("a bound");
                let bound = bound.parse().expect("a number");
                series.entry(labels).or_default().push((bound, *value));
            }
            for (labels, buckets) in series {
                assert!(buckets.is_sorted_by(|a, b| a.0 < b.0), "{name} {buckets:?}");
                assert!(
                    buckets.is_sorted_by(|a, b| a.1 <= b.1),
                    "{name} {buckets:?}"
                );
                let count = self.exactly(&format!("{name}_count"), &labels);
                let last = buckets.last().expect("a bucket");
                assert_eq!(*last, (f64::INFINITY, count), "{name}");
            }
        }
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &(String, Labels, f64)> {
        self.samples.iter().filter(move |sample| sample.0 == name)
    }

    fn exactly(&self, name: &str, labels: &Labels) -> f64 {
        let found = self.named(name).find(|sample| sample.1 == *labels);
        found.unwrap_or_else(|| panic!("no {name}{labels:?}")).2
    }

    /// The series of `name` that have these labels, and perhaps more.
    pub(crate) fn series(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(&Labels, f64)> {
        let has = |own: &Labels| {
            labels
                .iter()
                .all(|(key, value)| own.get(*key).is_some_and(|own| own == value))
        };
        let found = self.named(name).filter(|sample| has(&sample.1));
        found.map(|sample| (&sample.1, sample.2)).collect()
    }

    /// The one series of `name` that has these labels.
    pub(crate) fn one(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        match self.series(name, labels)[..] {
            [(_, value)] => value,
            ref series => panic!("{} of {name}{labels:?} in {self:#?}", series.len()),
        }
    }

    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.named(name).map(|sample| sample.2).sum()
    }

    /// The labels of the one series of `name`.
    pub(crate) fn labels(&self, name: &str) -> Vec<(&str, &str)> {
        match self.series(name, &[])[..] {
            [(labels, _)] => labels
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str()))
                .collect(),
            ref series => panic!("{} of {name} in {self:#?}", series.len()),
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\\\", "\\")
}

/// Labels after the opening brace.
fn parse_labels(text: &str) -> Labels {
    let mut labels = Labels::new();
    let mut rest = text;
    loop {
        let (name, after) = rest.split_once("=\"").expect("a label");
        assert!(is_name(name) && !name.starts_with("__"), "{text}");
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().expect("a closing quote") {
                (at, '"') => break at,
                (_, '\\') => match characters.next().expect("an escape").1 {
                    'n' => value.push('\n'),
                    same @ ('"' | '\\') => value.push(same),
                    other => panic!("unknown escape {other:?}"),
                },
                (_, character) => value.push(character),
            }
        };
        assert!(!value.is_empty(), "an empty label is none: {text}");
        let before = labels.insert(name.to_owned(), value);
        assert!(before.is_none(), "label twice: {text}");
        rest = &after[end + 1..];
        if rest == "}" {
            return labels;
        }
        rest = rest.strip_prefix(',').expect("a comma");
    }
}
