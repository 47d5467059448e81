//! Batches on their way through the scripts that run when they come.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::warn;
use weir_point::{
    Category, Point,
    otlp::{EncodeError, Encoder, OtlpBatch, PointRef, Resource, Signal},
};
use weir_script::{Outcome, Runner};

use super::{
    set::{Chosen, Running, Set, category_name},
    stats::Counts,
};

/// What identifies the sender of spans and log records.
const SERVICE: &str = "service.name";

/// The Points of `points` that are left, with those that were added.
pub(super) fn points(set: &Set, points: Vec<Point>) -> Vec<Point> {
    let Some(chosen) = set.of(Category::Network) else {
        return points;
    };
    if !points.iter().any(|own| chosen.script(&own.name).is_some()) {
        return points;
    }
    let mut pass = Pass::new(set);
    let mut left = Vec::with_capacity(points.len());
    for mut point in points {
        let outcome = match chosen.script(&point.name) {
            Some(running) => pass.run(running, &mut point),
            None => None,
        };
        let Some(outcome) = outcome else {
            left.push(point);
            continue;
        };
        pass.count(&outcome);
        if !outcome.dropped {
            left.push(point);
        }
        left.extend(outcome.emitted);
    }
    left
}

/// The request with the items that are left and those that were added; `batch` itself if nothing has changed.
pub(super) fn otlp(set: &Set, batch: OtlpBatch) -> OtlpBatch {
    let Some(chosen) = set.of(batch.signal().category()) else {
        return batch;
    };
    if !has_script(chosen, &batch) {
        return batch;
    }
    let mut pass = Pass::new(set);
    let mut choice = Choice::new(chosen, batch.signal());
    let mut encoder = Encoder::new(batch.signal());
    for own in batch.points() {
        match choice.of(&own) {
            Some(running) => pass.item(running, &own, &mut encoder),
            None => encoder.keep(&own),
        }
    }
    encoder.finish()
}

/// Whether an item of `batch` has a script.
fn has_script(chosen: &Chosen, batch: &OtlpBatch) -> bool {
    if batch.signal() == Signal::Metrics {
        // All data points of a metric have its name, and need not be looked at.
        let scopes = batch.resource_metrics().flat_map(|own| own.scopes());
        let mut metrics = scopes.flat_map(|own| own.metrics());
        return metrics.any(|own| chosen.script(own.name).is_some());
    }
    let mut choice = Choice::new(chosen, batch.signal());
    batch.points().any(|own| choice.of(&own).is_some())
}

/// Finds the script of an item, once per resource where that decides.
struct Choice<'s> {
    chosen: &'s Chosen,
    signal: Signal,
    latest: Option<(Arc<Resource>, Option<&'s Arc<Running>>)>,
}

impl<'s> Choice<'s> {
    const fn new(chosen: &'s Chosen, signal: Signal) -> Self {
        Self {
            chosen,
            signal,
            latest: None,
        }
    }

    fn of(&mut self, point: &PointRef<'_>) -> Option<&'s Arc<Running>> {
        if self.signal == Signal::Metrics {
            return self.chosen.script(point.name());
        }
        let resource = point.resource();
        if let Some((latest, script)) = &self.latest
            && Arc::ptr_eq(latest, resource)
        {
            return *script;
        }
        let service = resource.text(SERVICE).unwrap_or_default();
        let script = self.chosen.script(service);
        self.latest = Some((Arc::clone(resource), script));
        script
    }
}

/// One batch and one set of scripts.
struct Pass<'s> {
    set: &'s Set,
    runner: Runner,
    /// The script that ran last, what it has done and how long it took.
    tally: Option<(Arc<Running>, Counts<u64>, Duration)>,
}

impl<'s> Pass<'s> {
    fn new(set: &'s Set) -> Self {
        Self {
            set,
            runner: Runner::default(),
            tally: None,
        }
    }

    /// What became of `point`; `None` if the script has failed and the Point is as it was.
    fn run(&mut self, running: &Arc<Running>, point: &mut Point) -> Option<Outcome> {
        if !matches!(&self.tally, Some((latest, ..)) if Arc::ptr_eq(latest, running)) {
            self.settle();
        }
        let begin = Instant::now();
        let result = self.runner.run(&running.script, point, &self.set.limits);
        let took = begin.elapsed();
        let (_, counts, spent) = self
            .tally
            .get_or_insert_with(|| (Arc::clone(running), Counts::default(), Duration::ZERO));
        counts.points += 1;
        *spent += took;
        match result {
            Ok(outcome) => Some(outcome),
            Err(error) => {
                self.fail(|source| error.describe(source));
                None
            }
        }
    }

    /// As [`Self::run`], with what is left of the item put into `encoder`.
    fn item(&mut self, running: &Arc<Running>, own: &PointRef<'_>, encoder: &mut Encoder) {
        let mut point = own.to_point();
        let Some(outcome) = self.run(running, &mut point) else {
            encoder.keep(own);
            return;
        };
        match put(&outcome, &point, own, encoder) {
            Ok(()) => self.count(&outcome),
            Err(error) => {
                self.fail(|_| error.to_string());
                encoder.keep(own);
            }
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        if let Some((_, counts, _)) = &mut self.tally {
            counts.edited += u64::from(outcome.edited);
            counts.dropped += u64::from(outcome.dropped);
            counts.emitted += outcome.emitted.len() as u64;
        }
    }

    fn fail(&mut self, describe: impl FnOnce(&str) -> String) {
        if let Some((running, counts, _)) = &mut self.tally {
            counts.errors += 1;
            let source = running.script.source();
            if let Some(error) = running.stats.failed(|| describe(source)) {
                warn!(
                    category = category_name(running.key.category),
                    script = running.key.name,
                    "script failed, the Point goes on as it was: {error}"
                );
            }
        }
    }

    fn settle(&mut self) {
        if let Some((running, counts, spent)) = self.tally.take() {
            running.stats.add(&counts, spent);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.settle();
    }
}

/// All that is left of an item, or an error and nothing.
fn put(
    outcome: &Outcome,
    point: &Point,
    own: &PointRef<'_>,
    encoder: &mut Encoder,
) -> Result<(), EncodeError> {
    // What an encoder has taken it does not give back: first see whether it takes all.
    if !outcome.emitted.is_empty() {
        OtlpBatch::encode(encoder.signal(), &outcome.emitted)?;
    }
    match outcome {
        Outcome { dropped: true, .. } => {}
        Outcome { edited: true, .. } => encoder.push(point)?,
        _ => encoder.keep(own),
    }
    outcome
        .emitted
        .iter()
        .try_for_each(|further| encoder.push(further))
}
