//! From gathered rows to the bytes of an OTLP request for metrics.

use std::ops::Range;

use super::{
    Temporality,
    envelope::{self, ITEMS},
    window::Entry,
    wire::{self, Value},
};
use crate::{
    aggregate::Buckets,
    profile::{Counter, Group, Histogram, Profile, Scope},
};

/// Of `Metric`.
const NAME: u32 = 1;
const DESCRIPTION: u32 = 2;
const UNIT: u32 = 3;
const GAUGE: u32 = 5;
const SUM: u32 = 7;
const HISTOGRAM: u32 = 9;
/// Of `Gauge`, `Sum` and `Histogram`.
const DATA_POINTS: u32 = 1;
/// Of `Sum` and `Histogram`.
const TEMPORALITY: u32 = 2;
/// Of `Sum`.
const MONOTONIC: u32 = 3;
/// Of `NumberDataPoint` and `HistogramDataPoint`.
const START: u32 = 2;
const TIME: u32 = 3;
/// Of `NumberDataPoint`.
const AS_DOUBLE: u32 = 4;
const AS_INT: u32 = 6;
const ATTRIBUTES: u32 = 7;
/// Of `HistogramDataPoint`.
mod histogram {
    pub(super) const COUNT: u32 = 4;
    pub(super) const SUM: u32 = 5;
    pub(super) const BUCKETS: u32 = 6;
    pub(super) const BOUNDS: u32 = 7;
    pub(super) const ATTRIBUTES: u32 = 9;
    pub(super) const MAX: u32 = 12;
}

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
        for field in 0..group.histograms.len() {
            rows.histogram(field, temporality, out);
        }
    }
}

/// The entries of one group.
struct Rows<'a> {
    group: &'static Group,
    entries: Vec<(&'a Entry, Range<usize>)>,
    /// The attributes of each entry as they stand in a data point that is a number.
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
                write_attributes(entry, ATTRIBUTES, &mut attributes);
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

    fn histogram(&self, field: usize, temporality: Temporality, out: &mut Vec<u8>) {
        let kind = &self.group.histograms[field];
        metric(out, (kind.name, kind.help, kind.unit), |out| {
            wire::message(out, HISTOGRAM, |out| {
                let before = out.len();
                for (entry, _) in &self.entries {
                    let Some(values) = entry.row.histogram(field) else {
                        continue;
                    };
                    wire::message(out, DATA_POINTS, |out| {
                        if entry.start != 0 {
                            wire::fixed(out, START, entry.start);
                        }
                        wire::fixed(out, TIME, entry.time);
                        write_values(kind, values, out);
                        write_attributes(entry, histogram::ATTRIBUTES, out);
                    });
                }
                let written = out.len() > before;
                wire::number(out, TEMPORALITY, temporality as u64);
                written
            })
        });
    }
}

/// Append a data point of a histogram without its attributes; `kind` says what the numbers of `values` are.
fn write_values(kind: &Histogram, values: &Buckets, out: &mut Vec<u8>) {
    wire::fixed(out, histogram::COUNT, values.count());
    wire::fixed(out, histogram::SUM, kind.scaled(values.sum()).to_bits());
    wire::packed(out, histogram::BUCKETS, values.counts().iter().copied());
    let bounds = kind
        .bounds
        .iter()
        .map(|bound| kind.scaled(*bound).to_bits());
    wire::packed(out, histogram::BOUNDS, bounds);
    wire::fixed(out, histogram::MAX, kind.scaled(values.max()).to_bits());
}

/// Append what identifies the series of `entry`, each as the field `field`.
fn write_attributes(entry: &Entry, field: u32, out: &mut Vec<u8>) {
    let attributes = entry.set.attributes_of(entry.group);
    for attribute in attributes.filter(|own| own.scope != Scope::Resource) {
        if let Some(value) = entry.value(attribute) {
            wire::attribute(out, field, attribute.name, value);
        }
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
