//! Programs of users, which edit, drop and add Points between the intake and the outputs.
//!
//! Every batch goes through the set of scripts that runs when it comes; a change replaces the whole set.

mod config;
mod folder;
mod live;
mod pass;
mod service;
mod set;
mod stats;
mod store;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use weir_point::{Category, Point, otlp::OtlpBatch};
use weir_script::{CompileError, Engine};

pub use self::{config::Config, set::Namespace};
use self::{
    folder::{BadName, Look},
    set::{Key, Set},
    store::{Sources, Store, TooMany},
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
    /// What is configured; in force is what the store has.
    configured: watch::Sender<Config>,
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
        let configured = watch::Sender::new(config.clone());
        let mut store = Store::new(config, engine, metrics);
        store.replace(Namespace::Shipped, sources(shipped));
        if let Some(state) = store.config().state.clone() {
            store.replace(Namespace::Loaded, Look::at(&state).read());
        }
        if let Some(folder) = store.config().folder.clone() {
            store.replace(Namespace::Local, Look::at(&folder).read());
            folder::tell_strangers(&folder);
        }
        Arc::new(Self {
            configured,
            set: ArcSwap::from_pointee(store.set()),
            store: Mutex::new(store),
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
            if let Some(state) = &store.config().state {
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
            let Some(state) = &store.config().state else {
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
        self.set.store(Arc::new(store.set()));
        result
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sources(shipped: &[Shipped]) -> Sources {
    let shipped = shipped.iter();
    let shipped = shipped.map(|own| {
        let name = (own.category, own.name.to_owned());
        (name, Ok(own.source.to_owned()))
    });
    shipped.collect()
}

#[cfg(test)]
mod tests;
