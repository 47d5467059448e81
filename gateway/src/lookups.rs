//! What scripts look up: where it is configured, and how its files are watched.

use std::{path::PathBuf, sync::Arc};

use metrics::{Counter, Gauge};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::error;
use weir_point::Category;
use weir_route::Routes;
use weir_runtime::config::{Scalar, Section};
use weir_script::{
    Engine, PLACES,
    functions::own,
    lookups::{
        Cidr, CidrError, GeoSettings, LookupError, LookupSettings, Lookups, Subnets, TableSettings,
    },
};

use crate::{
    config::Config,
    live::{Live, Notes},
    scripts::{self, Scripts, Shipped},
    self_metrics::{GEOIP_UNREADABLE, LOOKUP_FILES, LOOKUP_FILES_BROKEN, SelfMetrics},
};

/// The scripts that come with weir, for where there is a database of places.
const WITH_PLACES: &[Shipped] = &[
    Shipped {
        category: Category::Network,
        name: "netflow",
        source: PLACES,
    },
    Shipped {
        category: Category::Network,
        name: "httpflow",
        source: PLACES,
    },
];

/// Read the sections `geoip`, `subnets` and `tables`, and the key `routes`.
pub fn read(root: &mut Section<'_>) -> LookupSettings {
    let subnets = subnets(root);
    let routes: Vec<String> = root.list("routes");
    if let Err(error) = Routes::new(&routes) {
        root.mistake("routes", error.to_string());
    }
    LookupSettings {
        geoip: geoip(&mut root.section("geoip")),
        tables: tables(root),
        subnets,
        routes,
    }
}

fn geoip(section: &mut Section<'_>) -> GeoSettings {
    let default = GeoSettings::default();
    GeoSettings {
        files: section.list_or("files", default.files),
        cache: section.or("cache", default.cache),
    }
}

fn subnets(root: &mut Section<'_>) -> Vec<(String, Vec<Cidr>)> {
    let lists = root.lists::<Network>("subnets").into_iter();
    let lists = lists.map(|(name, networks)| {
        let networks = networks.into_iter().map(|Network(network)| network);
        (name, networks.collect())
    });
    let lists: Vec<(String, Vec<Cidr>)> = lists.collect();
    if let Err(error) = Subnets::new(&lists) {
        root.mistake("subnets", error.to_string());
    }
    lists
}

fn tables(root: &mut Section<'_>) -> Vec<TableSettings> {
    let tables = root.sections("tables", |name, section| {
        let file: Option<PathBuf> = section.optional("file");
        let key = section.list("key");
        if file.is_none() {
            section.mistake("file", "a table needs a file");
        }
        TableSettings {
            name: name.to_owned(),
            file: file.unwrap_or_default(),
            key,
        }
    });
    tables.into_iter().map(|(_, table)| table).collect()
}

/// A network as one writes it.
struct Network(Cidr);

impl Scalar for Network {
    const WHAT: &'static str = "a network such as `10.1.0.0/16` or `2001:db8::/32`";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error| match error {
            CidrError::Text(_) => String::new(),
            bits @ CidrError::Bits { .. } => bits.to_string(),
        })
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// The scripts of `config`, with what they can look up.
///
/// # Errors
/// The settings contradict themselves.
pub(crate) fn start(
    settings: &LookupSettings,
    config: scripts::Config,
    metrics: &Arc<SelfMetrics>,
) -> Result<(Arc<Scripts>, Files), LookupError> {
    let lookups = Arc::new(Lookups::open(settings)?);
    let engine = Engine::new(own(&lookups));
    let scripts = Scripts::new(config, engine, shipped(&lookups), metrics);
    let files = Files::new(lookups, Arc::clone(&scripts), metrics);
    Ok((scripts, files))
}

/// The scripts of weir that have something to do: without a database of places there are none.
fn shipped(lookups: &Lookups) -> &'static [Shipped] {
    match lookups.geo().files() {
        (0, _) => &[],
        _ => WITH_PLACES,
    }
}

/// The files of what scripts look up, which may change at any time.
pub(crate) struct Files {
    lookups: Arc<Lookups>,
    scripts: Arc<Scripts>,
    has_places: bool,
    unreadable: u64,
    metrics: Metrics,
}

struct Metrics {
    /// In use and broken.
    databases: [Gauge; 2],
    tables: [Gauge; 2],
    unreadable: Counter,
}

impl Live for Arc<Lookups> {
    /// Reading can take a second: what there was before is looked up until then.
    fn apply(&mut self, before: &Config, config: &mut Config, _notes: &mut Notes) {
        if before.lookups == config.lookups {
            return;
        }
        let (lookups, settings) = (Arc::clone(self), config.lookups.clone());
        spawn_blocking(move || {
            // The reader of the configuration has refused what contradicts itself.
            if let Err(error) = lookups.change(&settings) {
                error!("what scripts look up stays as it was: {error}");
            }
        });
    }
}

impl Files {
    /// What is in them, and what has no files.
    pub(crate) fn lookups(&self) -> Arc<Lookups> {
        Arc::clone(&self.lookups)
    }

    fn new(lookups: Arc<Lookups>, scripts: Arc<Scripts>, metrics: &Arc<SelfMetrics>) -> Self {
        let gauges = |kind: &str| {
            [&LOOKUP_FILES, &LOOKUP_FILES_BROKEN].map(|own| metrics.gauge(own, &[kind]))
        };
        let files = Self {
            has_places: !shipped(&lookups).is_empty(),
            lookups,
            scripts,
            unreadable: 0,
            metrics: Metrics {
                databases: gauges("geoip"),
                tables: gauges("table"),
                unreadable: metrics.counter(&GEOIP_UNREADABLE, &[]),
            },
        };
        files.tell();
        files
    }

    /// Look at the files as often as at the folder of scripts, until `stop`.
    pub(crate) async fn watch(mut self, stop: CancellationToken) {
        let mut looks = self.scripts.looks();
        while stop.run_until_cancelled(looks.next()).await.is_some() {
            let looked = spawn_blocking(move || {
                self.look();
                self
            });
            // Only a panic ends it, which the task of its own has told.
            let Ok(looked) = looked.await else { return };
            self = looked;
        }
    }

    fn look(&mut self) {
        self.lookups.refresh();
        let shipped = shipped(&self.lookups);
        if self.has_places == shipped.is_empty() {
            self.has_places = !shipped.is_empty();
            self.scripts.ship(shipped);
        }
        let unreadable = self.lookups.geo().unreadable();
        self.metrics
            .unreadable
            .increment(unreadable - self.unreadable);
        self.unreadable = unreadable;
        self.tell();
    }

    fn tell(&self) {
        for (gauges, (used, broken)) in [
            (&self.metrics.databases, self.lookups.geo().files()),
            (&self.metrics.tables, self.lookups.tables().files()),
        ] {
            for (gauge, count) in gauges.iter().zip([used, broken]) {
                gauge.set(u32::try_from(count).unwrap_or(u32::MAX));
            }
        }
    }
}

#[cfg(test)]
mod tests;
