//! From attributes to label text. Equal label sets are equal text, however they were written.

mod json;

pub(crate) use self::json::push_value;
use std::ops::Range;

use weir_point::otlp::{
    AnyValue, Attribute, Attributes,
    metrics::{ResourceMetrics, ScopeMetrics},
};

use crate::{aggregate, profile::naming};

const JOB: &str = "job";
const INSTANCE: &str = "instance";
const SCOPE: &str = "otel_scope_";
/// Put before the names of attributes that would hide one of ours, as Prometheus does it.
const HIDDEN: &str = "exported_";

const NAMESPACE_ATTRIBUTE: &str = "service.namespace";
const NAME_ATTRIBUTE: &str = "service.name";
const INSTANCE_ATTRIBUTE: &str = "service.instance.id";

/// Label values of the series that takes what is over the budget.
pub(super) const OTHER: &str = "job=\"~other\",instance=\"~other\"";

/// Writes label text for one resource, one of its scopes and one data point after the other.
#[derive(Debug, Default)]
pub(super) struct Labels<'a> {
    text: String,
    resource: usize,
    scope: usize,
    sorter: Sorter<'a>,
}

impl<'a> Labels<'a> {
    /// The data points to come are of this resource.
    pub(super) fn resource(&mut self, resource: &ResourceMetrics<'a>) {
        self.text.clear();
        let (mut namespace, mut name, mut instance) = Default::default();
        for Attribute { key, value } in resource.attributes() {
            match key {
                NAMESPACE_ATTRIBUTE => text_of(&value, &mut namespace),
                NAME_ATTRIBUTE => text_of(&value, &mut name),
                INSTANCE_ATTRIBUTE => text_of(&value, &mut instance),
                _ => {}
            }
        }
        if !namespace.is_empty() && !name.is_empty() {
            namespace.push('/');
        } else {
            namespace.clear();
        }
        namespace.push_str(&name);
        push(JOB, &namespace, &mut self.text);
        push(INSTANCE, &instance, &mut self.text);
        self.resource = self.text.len();
        self.scope = self.resource;
    }

    /// What tells the resource from others: its job and instance.
    pub(super) fn identity(&self) -> &str {
        &self.text[..self.resource]
    }

    /// The attributes of the resource that are not in its identity.
    pub(super) fn target(&mut self, resource: &ResourceMetrics<'a>) -> &str {
        self.text.truncate(self.resource);
        let rest = resource.attributes().filter(|attribute| {
            ![NAMESPACE_ATTRIBUTE, NAME_ATTRIBUTE, INSTANCE_ATTRIBUTE].contains(&attribute.key)
        });
        self.sorter.write(rest, "", is_ours, &mut self.text);
        let target = &self.text[self.resource..];
        target.strip_prefix(',').unwrap_or(target)
    }

    /// The data points to come are of this scope.
    pub(super) fn scope(&mut self, scope: &ScopeMetrics<'a>) {
        self.text.truncate(self.resource);
        push("otel_scope_name", scope.name(), &mut self.text);
        push("otel_scope_version", scope.version(), &mut self.text);
        // They would have the two labels above.
        let rest = scope.attributes().filter(|attribute| {
            !matches!(naming::label(attribute.key).as_str(), "name" | "version")
        });
        self.sorter.write(rest, SCOPE, |_| false, &mut self.text);
        self.scope = self.text.len();
    }

    /// All labels of a data point whose metric has a label `own` in addition.
    pub(super) fn point(&mut self, attributes: Attributes<'a>, own: &str) -> &str {
        self.text.truncate(self.scope);
        let taken = |name: &str| name == own || is_ours(name);
        self.sorter.write(attributes, "", taken, &mut self.text);
        &self.text
    }
}

fn is_ours(name: &str) -> bool {
    name == JOB || name == INSTANCE || name.starts_with(SCOPE)
}

/// Prometheus takes an empty label for none, so two label sets that differ in it are one.
fn push(name: &str, value: &str, out: &mut String) {
    if !value.is_empty() {
        if !out.is_empty() {
            out.push(',');
        }
        aggregate::push_label(name, value, out);
    }
}

pub(super) fn text_of(value: &AnyValue<'_>, out: &mut String) {
    out.clear();
    push_value(value, out);
}

/// Puts labels in order; holds the memory for it.
#[derive(Debug, Default)]
struct Sorter<'a> {
    labels: Vec<Label<'a>>,
    names: String,
    value: String,
}

#[derive(Debug)]
struct Label<'a> {
    name: Range<usize>,
    key: &'a str,
    value: AnyValue<'a>,
}

impl<'a> Sorter<'a> {
    /// Append `attributes` as labels that begin with `prefix`. Values whose names become equal
    /// are joined in the order of the names they had.
    fn write(
        &mut self,
        attributes: impl Iterator<Item = Attribute<'a>>,
        prefix: &str,
        taken: impl Fn(&str) -> bool,
        out: &mut String,
    ) {
        self.labels.clear();
        self.names.clear();
        for Attribute { key, value } in attributes {
            let start = self.names.len();
            self.names.push_str(prefix);
            naming::push_label(key, &mut self.names);
            if taken(&self.names[start..]) {
                self.names.insert_str(start, HIDDEN);
            }
            let name = start..self.names.len();
            self.labels.push(Label { name, key, value });
        }
        let names = &self.names;
        let order = |label: &Label<'a>| (&names[label.name.clone()], label.key);
        // Clients mostly send them in one order, but not always in ours.
        if !self.labels.is_sorted_by_key(order) {
            self.labels.sort_by(|a, b| order(a).cmp(&order(b)));
        }
        for equal in self
            .labels
            .chunk_by(|a, b| names[a.name.clone()] == names[b.name.clone()])
        {
            let name = &names[equal[0].name.clone()];
            if let [
                Label {
                    value: AnyValue::Text(text),
                    ..
                },
            ] = equal
            {
                push(name, text, out);
                continue;
            }
            self.value.clear();
            // A key that comes twice in one list has the value it had last.
            for (place, same) in equal.chunk_by(|a, b| a.key == b.key).enumerate() {
                if place > 0 {
                    self.value.push(';');
                }
                if let Some(label) = same.last() {
                    push_value(&label.value, &mut self.value);
                }
            }
            push(name, &self.value, out);
        }
    }
}
