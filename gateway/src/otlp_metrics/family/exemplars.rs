//! Exemplars of data points, as far as there is room for them.

use std::sync::atomic::{AtomicUsize, Ordering};

use weir_point::otlp::{
    Attributes,
    metrics::{Exemplar, Number},
};

use crate::{
    aggregate::push_label,
    otlp_metrics::{
        labels::text_of,
        meters::Tally,
        series::{Outcome, Series, Value},
    },
    page,
    profile::naming,
};

/// Of all metrics together: about 10 MiB.
const MOST_HELD: usize = 100_000;
/// Of one data point; there are never more buckets.
const MOST_READ: usize = 512;
/// Of one exemplar, to look for some that are short enough.
const MOST_ATTRIBUTES: usize = 16;
/// Not for attributes.
const OWN_LABELS: [&str; 2] = ["trace_id", "span_id"];

/// How many exemplars are held. What goes with its series is found out by counting anew.
#[derive(Debug, Default)]
pub(in super::super) struct Allowance(AtomicUsize);

impl Allowance {
    /// So many are held.
    pub(in super::super) fn recount(&self, held: usize) {
        self.0.store(held, Ordering::Relaxed);
    }

    fn has_room(&self) -> bool {
        let has_room = self.0.load(Ordering::Relaxed) < MOST_HELD;
        if has_room {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    /// Take in the exemplars of the data point of the series with these labels.
    pub(super) fn take<'batch, T: Value>(
        &self,
        exemplars: impl Iterator<Item = Exemplar<'batch>>,
        outcome: Outcome,
        series: &mut Series<T>,
        labels: &str,
        tally: &mut Tally,
    ) {
        for (read, exemplar) in exemplars.enumerate() {
            let taken = outcome == Outcome::Taken
                && read < MOST_READ
                && shown(&exemplar)
                    .is_some_and(|exemplar| series.exemplify(labels, exemplar, || self.has_room()));
            if taken {
                tally.exemplars_taken += 1;
            } else {
                tally.exemplars_dropped += 1;
            }
        }
    }
}

/// The exemplar as it is shown; `None` if it says nothing.
fn shown(exemplar: &Exemplar<'_>) -> Option<page::Exemplar> {
    let value = match exemplar.value? {
        Number::Int(int) => int as f64,
        Number::Double(double) => double,
    };
    let (trace, span) = (exemplar.trace_id, exemplar.span_id);
    let shown = page::Exemplar::new(value, exemplar.time, trace, span);
    let more = labels(exemplar.attributes(), shown.room());
    let shown = shown.with(&more);
    (value.is_finite() && !shown.is_anonymous()).then_some(shown)
}

/// As many of the attributes as fit into `room` characters, as labels.
fn labels(attributes: Attributes<'_>, mut room: usize) -> String {
    let (mut out, mut value) = (String::new(), String::new());
    let mut names: Vec<String> = Vec::new();
    for attribute in attributes.take(MOST_ATTRIBUTES) {
        let name = naming::label(attribute.key);
        text_of(&attribute.value, &mut value);
        let size = name.chars().count() + value.chars().count();
        let is_new = !names.contains(&name) && !OWN_LABELS.contains(&name.as_str());
        if size > room || value.is_empty() || !is_new {
            continue;
        }
        if !out.is_empty() {
            out.push(',');
        }
        push_label(&name, &value, &mut out);
        room -= size;
        names.push(name);
    }
    out
}
