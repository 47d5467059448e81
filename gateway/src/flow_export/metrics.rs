//! From gathered rows to the bytes of an OTLP request for metrics.

use std::ops::Range;

use super::{
    Temporality,
    envelope::{self, ITEMS},
    window::Entry,
    wire::{self, Value},
};
use crate::profile::{Counter, Group, Profile, Scope};

/// Of `Metric`.
const NAME: u32 = 1;
const DESCRIPTION: u32 = 2;
const UNIT: u32 = 3;
const GAUGE: u32 = 5;
const SUM: u32 = 7;
/// Of `Gauge` and `Sum`.
const DATA_POINTS: u32 = 1;
/// Of `Sum`.
const TEMPORALITY: u32 = 2;
const MONOTONIC: u32 = 3;
/// Of `NumberDataPoint`.
const START: u32 = 2;
const TIME: u32 = 3;
const AS_DOUBLE: u32 = 4;
const AS_INT: u32 = 6;
const ATTRIBUTES: u32 = 7;

/// The request for `entries`, in which those of one resource stand together; empty if there is no
/// data point at all.
pub(super) fn request(profile: &Profile, temporality: Temporality, entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entries in entries.chunk_by(|a, b| a.resource().eq(b.resource())) {
        let first = &entries[0];
        let attributes = first
            .set
            .resource()
            .filter_map(|attribute| Some((attribute.name, first.value(attribute)?)));
        envelope::resource(&mut out, profile, attributes, |out| {
            of_one_resource(temporality, entries, out);
        });
    }
    out
}

fn of_one_resource(temporality: Temporality, entries: &[Entry], out: &mut Vec<u8>) {
    let mut groups: Vec<&'static Group> = Vec::new();
    for entry in entries {
        if !groups.iter().any(|group| std::ptr::eq(*group, entry.group)) {
            groups.push(entry.group);
        }
    }
    for group in groups {
        let rows = Rows::new(group, entries);
        let fields: Vec<usize> = (0..group.counters.len()).collect();
        for same_metric in
            fields.chunk_by(|a, b| group.counters[*a].name == group.counters[*b].name)
        {
            rows.sum(same_metric, temporality, out);
        }
        for field in 0..group.gauges.len() {
            rows.gauge(field, out);
        }
    }
}

/// The entries of one group, each with its attributes as they stand in every data point.
struct Rows<'a> {
    group: &'static Group,
    entries: Vec<(&'a Entry, Range<usize>)>,
    attributes: Vec<u8>,
}

impl<'a> Rows<'a> {
    fn new(group: &'static Group, entries: &'a [Entry]) -> Self {
        let mut attributes = Vec::new();
        let entries = entries
            .iter()
            .filter(|entry| std::ptr::eq(entry.group, group))
            .map(|entry| {
                let start = attributes.len();
                let attributes_of = entry.set.attributes_of(group);
                for attribute in attributes_of.filter(|a| a.scope == Scope::Series) {
                    if let Some(value) = entry.value(attribute) {
                        wire::attribute(&mut attributes, ATTRIBUTES, attribute.name, value);
                    }
                }
                (entry, start..attributes.len())
            })
            .collect();
        Self {
            group,
            entries,
            attributes,
        }
    }

    /// The metric that these counters are the fields of.
    fn sum(&self, fields: &[usize], temporality: Temporality, out: &mut Vec<u8>) {
        let Counter {
            name, help, unit, ..
        } = self.group.counters[fields[0]];
        metric(out, (name, help, unit), |out| {
            wire::message(out, SUM, |out| {
                let before = out.len();
                for field in fields {
                    self.counts(*field, temporality, out);
                }
                let written = out.len() > before;
                wire::number(out, TEMPORALITY, temporality as u64);
                wire::number(out, MONOTONIC, 1);
                written
            })
        });
    }

    fn counts(&self, field: usize, temporality: Temporality, out: &mut Vec<u8>) {
        let counter = &self.group.counters[field];
        for (entry, attributes) in &self.entries {
            let Some(count) = entry.row.count(field) else {
                continue;
            };
            // A delta of zero says nothing.
            if count == 0 && temporality == Temporality::Delta {
                continue;
            }
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            wire::message(out, DATA_POINTS, |out| {
                if entry.start != 0 {
                    wire::fixed(out, START, entry.start);
                }
                wire::fixed(out, TIME, entry.time);
                wire::fixed(out, AS_INT, count.cast_unsigned());
                out.extend_from_slice(&self.attributes[attributes.clone()]);
                if let Some((name, value)) = counter.attribute {
                    wire::attribute(out, ATTRIBUTES, name, Value::Text(value.into()));
                }
            });
        }
    }

    fn gauge(&self, field: usize, out: &mut Vec<u8>) {
        let gauge = &self.group.gauges[field];
        metric(out, (gauge.name, gauge.help, gauge.unit), |out| {
            wire::message(out, GAUGE, |out| {
                let before = out.len();
                for (entry, attributes) in &self.entries {
                    let Some(value) = entry.row.gauge(field, gauge) else {
                        continue;
                    };
                    wire::message(out, DATA_POINTS, |out| {
                        wire::fixed(out, TIME, entry.time);
                        wire::fixed(out, AS_DOUBLE, value.to_bits());
                        out.extend_from_slice(&self.attributes[attributes.clone()]);
                    });
                }
                out.len() > before
            })
        });
    }
}

/// Append a metric, unless `data` says that it has no data point.
fn metric(
    out: &mut Vec<u8>,
    (name, help, unit): (&str, &str, &str),
    data: impl FnOnce(&mut Vec<u8>) -> bool,
) {
    let before = out.len();
    let written = wire::message(out, ITEMS, |out| {
        wire::text(out, NAME, name);
        wire::text(out, DESCRIPTION, help);
        wire::text(out, UNIT, unit);
        data(out)
    });
    if !written {
        out.truncate(before);
    }
}
