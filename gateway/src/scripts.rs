//! Programs of users, which edit, drop and add Points between the intake and the outputs.
//!
//! Every batch goes through the set of scripts that runs when it comes; a change replaces the whole set.

mod config;
mod folder;
mod pass;
mod service;
mod set;
mod stats;
mod store;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use weir_point::{Category, Point, otlp::OtlpBatch};
use weir_script::{CompileError, Engine};

pub use self::{config::Config, set::Namespace};
use self::{
    folder::{BadName, Look},
    set::{Key, Set},
    store::{Store, TooMany},
};
use crate::self_metrics::SelfMetrics;

/// Most scripts of all namespaces together: 20 KiB of memory each.
const MOST_SCRIPTS: usize = 1000;

/// A script that comes with weir.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// Which Points it is for.
    pub category: Category,
    /// Their name.
    pub name: &'static str,
    /// The program.
    pub source: &'static str,
}

/// A script was not loaded or unloaded.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Name(#[from] BadName),
    #[error("the script does not compile")]
    Mistake(#[source] CompileError),
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error("no script `{name}` was loaded")]
    NotLoaded { name: String },
    #[error("cannot write to the folder {}", folder.display())]
    State { folder: PathBuf, source: io::Error },
}

/// All scripts of one gateway.
#[derive(Debug)]
pub struct Scripts {
    config: Config,
    /// What runs now.
    set: ArcSwap<Set>,
    store: Mutex<Store>,
}

impl Scripts {
    /// The scripts in the folders, loaded ones and `shipped`, compiled by `engine`.
    pub fn new(
        config: Config,
        engine: Engine,
        shipped: &[Shipped],
        metrics: &Arc<SelfMetrics>,
    ) -> Arc<Self> {
        let mut store = Store::new(engine, metrics);
        store.replace(Namespace::Shipped, sources(shipped));
        for (namespace, folder) in [
            (Namespace::Loaded, &config.state),
            (Namespace::Local, &config.folder),
        ] {
            if let Some(folder) = folder {
                store.replace(namespace, Look::at(folder).read());
            }
        }
        if let Some(folder) = &config.folder {
            folder::tell_strangers(folder);
        }
        Arc::new(Self {
            set: ArcSwap::from_pointee(store.set(config.limits)),
            store: Mutex::new(store),
            config,
        })
    }

    /// These are the scripts that come with weir from now on.
    pub fn ship(&self, shipped: &[Shipped]) {
        self.change(|store| store.replace(Namespace::Shipped, sources(shipped)));
    }

    /// Flows on their way from the intake: what is left of `points`, and what was added.
    pub fn points(&self, points: Vec<Point>) -> Vec<Point> {
        pass::points(&self.set.load(), points)
    }

    /// OTLP on its way from the receiver. A batch without a script for any of its items is given back as it is.
    pub fn otlp(&self, batch: OtlpBatch) -> OtlpBatch {
        pass::otlp(&self.set.load(), batch)
    }

    /// Watch the folder until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let Some(folder) = self.config.folder.clone() else {
            return;
        };
        let mut ticks = interval(self.config.watch);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Watch {
            latest: Look::at(&folder),
            taken: None,
        };
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let (this, folder) = (Arc::clone(&self), folder.clone());
            let looked = spawn_blocking(move || {
                if watch.is_due(Look::at(&folder)) {
                    let sources = watch.latest.read();
                    // Read in the middle of a change it may be half of it: next time.
                    if Look::at(&folder) == watch.latest {
                        this.change(|store| store.replace(Namespace::Local, sources));
                        watch.taken = Some(watch.latest.clone());
                    }
                }
                watch
            });
            // Only a panic ends it, which the task of its own has told.
            let Ok(looked) = looked.await else { return };
            watch = looked;
        }
    }

    fn load(&self, category: Category, name: String, source: &str) -> Result<(), LoadError> {
        folder::check_name(&name)?;
        let key = Key {
            category,
            name,
            namespace: Namespace::Loaded,
        };
        self.change(|store| {
            store.room(&key)?;
            let script = store.compile(source).map_err(LoadError::Mistake)?;
            if let Some(state) = &self.config.state {
                let saved = folder::save(state, category, &key.name, source);
                saved.map_err(|source| LoadError::State {
                    folder: state.clone(),
                    source,
                })?;
            }
            store.run(key, script);
            Ok(())
        })
    }

    fn unload(&self, category: Category, name: String) -> Result<(), LoadError> {
        let key = Key {
            category,
            name,
            namespace: Namespace::Loaded,
        };
        self.change(|store| {
            if !store.remove(&key) {
                return Err(LoadError::NotLoaded { name: key.name });
            }
            let Some(state) = &self.config.state else {
                return Ok(());
            };
            let forgotten = folder::forget(state, category, &key.name);
            forgotten.map_err(|source| LoadError::State {
                folder: state.clone(),
                source,
            })
        })
    }

    /// Change scripts, and run what is there then.
    fn change<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store();
        let result = change(&mut store);
        // Still locked, so that of two changes the later one is seen.
        self.set.store(Arc::new(store.set(self.config.limits)));
        result
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sources(shipped: &[Shipped]) -> BTreeMap<(Category, String), io::Result<String>> {
    let shipped = shipped.iter();
    let shipped = shipped.map(|own| {
        let name = (own.category, own.name.to_owned());
        (name, Ok(own.source.to_owned()))
    });
    shipped.collect()
}

/// What was seen of a folder.
struct Watch {
    /// At the latest look.
    latest: Look,
    /// What the scripts were read from; `None` before that is certain.
    taken: Option<Look>,
}

impl Watch {
    /// Whether it is to be read: it was the same at two looks, and is another than what was read before.
    fn is_due(&mut self, look: Look) -> bool {
        let is_settled = look == self.latest;
        self.latest = look;
        is_settled && self.taken.as_ref() != Some(&self.latest)
    }
}

#[cfg(test)]
mod tests;
