//! Metrics that came over OTLP, as Prometheus series.

mod directory;
mod family;
mod histogram;
mod labels;
mod meters;
mod number;
mod series;
mod summary;
mod target;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

pub(crate) use self::labels::push_value;
use weir_point::otlp::{
    OtlpBatch,
    metrics::{Data, Metric, ResourceMetrics},
};

pub use self::meters::Dropped;
use self::{
    directory::{Directory, Place, lock},
    family::{Allowance, Intake, Kind},
    labels::Labels,
    meters::{Cause, Meters, Tally},
    series::Tick,
    target::Targets,
};
use crate::{
    page::{Format, Page},
    profile::Profile,
    self_metrics::SelfMetrics,
};

/// Longer resources are left out of `target_info`.
const LONGEST_TARGET: usize = 16 * 1024;
/// Ticks in a second.
const TICKS: u128 = 10;

/// All series of metrics that came over OTLP. Data points are taken in by whoever brings them:
/// nothing waits in a queue, and nothing can be lost on the way.
#[derive(Debug)]
pub struct OtlpMetrics {
    directory: RwLock<Directory>,
    targets: Mutex<Targets>,
    exemplars: Allowance,
    budget: AtomicUsize,
    expiry: AtomicU32,
    started: Instant,
    meters: Meters,
}

/// Another one may take its place; what it shows is not this one's any more.
impl Drop for OtlpMetrics {
    fn drop(&mut self) {
        let families = self.read().all();
        let held: usize = families.iter().map(|family| lock(family).len()).sum();
        self.meters.series.decrement(held as f64);
    }
}

impl OtlpMetrics {
    /// No series yet, and room for `budget` label sets per metric; a label set without a data
    /// point for `idle_expiry` goes. The names of `profile` and of the gateway's own metrics are
    /// not given to others.
    pub fn new(
        profile: &Profile,
        budget: usize,
        idle_expiry: Duration,
        metrics: &SelfMetrics,
    ) -> Self {
        Self {
            directory: RwLock::new(Directory::new(profile)),
            targets: Mutex::default(),
            exemplars: Allowance::default(),
            budget: AtomicUsize::new(budget.max(1)),
            expiry: AtomicU32::new(ticks(idle_expiry)),
            started: Instant::now(),
            meters: Meters::new(metrics),
        }
    }

    /// The same, and nobody gets these names either.
    #[must_use]
    pub fn reserving<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut directory = self.write();
        for name in names {
            directory.reserve(name.to_owned());
        }
        drop(directory);
        self
    }

    /// From now on within these limits. Label sets past the new budget stay until they expire.
    pub fn limit(&self, budget: usize, idle_expiry: Duration) {
        self.budget.store(budget.max(1), Ordering::Release);
        self.expiry.store(ticks(idle_expiry), Ordering::Release);
    }

    fn budget(&self) -> usize {
        self.budget.load(Ordering::Acquire)
    }

    /// Take in all data points of `batch`; those that cannot be shown are counted, and given back as
    /// a number.
    pub fn take(&self, batch: &OtlpBatch) -> Dropped {
        let now = self.tick(Instant::now());
        let (mut labels, mut tally) = (Labels::default(), Tally::default());
        let mut key = String::new();
        for resource in batch.resource_metrics() {
            labels.resource(&resource);
            self.take_target(&resource, &mut labels, &mut tally, now);
            for scope in resource.scopes() {
                labels.scope(&scope);
                for metric in scope.metrics() {
                    let Some(kind) = Kind::of(&metric.data) else {
                        continue;
                    };
                    match self.family(kind, &metric, &mut key) {
                        Ok(family) => self.take_metric(
                            &family,
                            metric,
                            &mut Intake {
                                labels: &mut labels,
                                tally: &mut tally,
                                exemplars: &self.exemplars,
                                budget: self.budget(),
                                now,
                            },
                        ),
                        Err(cause) => tally.dropped(cause, points(metric.data)),
                    }
                }
            }
        }
        self.meters.add(&tally);
        tally.into_dropped()
    }

    fn take_metric<'batch>(
        &self,
        family: &Place,
        metric: Metric<'batch>,
        intake: &mut Intake<'_, 'batch>,
    ) {
        let mut family = lock(family);
        let before = family.len();
        family.take(metric, intake);
        let after = family.len();
        drop(family);
        if after != before {
            self.meters.series.increment(after as f64 - before as f64);
        }
    }

    /// Only a resource that can be told from others, and has more to say than that.
    fn take_target<'batch>(
        &self,
        resource: &ResourceMetrics<'batch>,
        labels: &mut Labels<'batch>,
        tally: &mut Tally,
        now: Tick,
    ) {
        if labels.identity().is_empty() {
            return;
        }
        let target = labels.target(resource).to_owned();
        if target.is_empty() {
            return;
        }
        let fits = labels.identity().len() + target.len() <= LONGEST_TARGET;
        let taken = fits
            && self
                .targets()
                .take(labels.identity(), &target, now, self.budget());
        tally.targets_dropped += u64::from(!taken);
    }

    /// The family of `metric`; `key` is scratch space.
    fn family(&self, kind: Kind, metric: &Metric<'_>, key: &mut String) -> Result<Place, Cause> {
        key.clear();
        key.push_str(metric.unit);
        // In no unit and in no name; were it in one, two names could only share a family.
        key.push('\0');
        key.push_str(metric.name);
        let found = self.read().find(kind, key);
        found.unwrap_or_else(|| self.write().open(kind, key, metric))
    }

    /// Part `index` of the page; `None` after the last one. A part can be empty. Metrics that flows have, too, are
    /// in no part: see [`Self::shared`].
    pub fn part(&self, index: usize, format: Format) -> Option<Vec<u8>> {
        self.part_of(index, format, |family| !self.is_shared(family))
    }

    fn part_of(
        &self,
        index: usize,
        format: Format,
        is_wanted: impl Fn(&Place) -> bool,
    ) -> Option<Vec<u8>> {
        let mut page = Page::new(format);
        match index.checked_sub(1) {
            None => {
                let crowded = self.read().has(target::BASE);
                self.targets().render(crowded, &mut page);
            }
            Some(index) => {
                let place = self.read().at(index)?;
                let place = place.filter(is_wanted);
                if let Some(family) = place {
                    let crowded = format == Format::OpenMetrics && self.is_crowded(&family);
                    lock(&family).render(crowded, &mut page);
                }
            }
        }
        Some(page.finish())
    }

    /// Append the series of the metric `name`, which flows have, too: without its head if it `has_head` already.
    pub fn shared(&self, name: &str, has_head: bool, page: &mut Page) {
        let Some(family) = self.read().shared(name) else {
            return;
        };
        let family = lock(&family);
        if has_head {
            family.series(page);
        } else {
            family.render(false, page);
        }
    }

    /// Whether it is on the page where flows are.
    fn is_shared(&self, family: &Place) -> bool {
        let name = lock(family).name().to_owned();
        self.read().is_shared(&name)
    }

    /// Whether another metric has a name that OpenMetrics gives to this counter.
    fn is_crowded(&self, family: &Place) -> bool {
        let name = lock(family).name().to_owned();
        let directory = self.read();
        let has = |base: &str| directory.has(base) || directory.has(&format!("{base}_created"));
        name.strip_suffix("_total").is_some_and(has)
    }

    /// Append everything, as if there were no flows, without the end of the page.
    pub fn render(&self, format: Format, out: &mut Vec<u8>) {
        let mut index = 0;
        while let Some(part) = self.part_of(index, format, |_| true) {
            out.extend(part);
            index += 1;
        }
    }

    /// Remove what had no data point for too long before `now`; returns how many label sets.
    pub fn sweep(&self, now: Instant) -> usize {
        let now = self.tick(now);
        let expiry = self.expiry.load(Ordering::Acquire);
        self.targets().sweep(now, expiry);
        let (mut expired, mut held, mut exemplars) = (0, 0, 0);
        let families = self.read().all();
        for family in &families {
            let mut family = lock(family);
            expired += family.sweep(now, expiry, self.budget());
            held += family.len();
            exemplars += family.exemplars();
        }
        drop(families);
        self.exemplars.recount(exemplars);
        self.write().drop_empty();
        self.meters.expired.increment(expired as u64);
        self.meters.series.set(held as f64);
        expired
    }

    fn tick(&self, now: Instant) -> Tick {
        ticks(now.saturating_duration_since(self.started))
    }

    fn read(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Directory> {
        self.directory
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn targets(&self) -> MutexGuard<'_, Targets> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ticks(time: Duration) -> Tick {
    Tick::try_from(time.as_millis() * TICKS / 1000).unwrap_or(Tick::MAX)
}

fn points(data: Data<'_>) -> usize {
    match data {
        Data::Empty => 0,
        Data::Gauge(points) | Data::Sum { points, .. } => points.count(),
        Data::Histogram { points, .. } => points.count(),
        Data::ExponentialHistogram { points, .. } => points.count(),
        Data::Summary(points) => points.count(),
    }
}
