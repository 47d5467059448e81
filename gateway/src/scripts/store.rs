//! All scripts there are, and which of them run.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use metrics::Gauge;
use tracing::{error, info};
use weir_point::Category;
use weir_script::{CompileError, Engine};

use super::{
    Config, MOST_SCRIPTS,
    folder::{self, Look},
    set::{Key, Namespace, Running, Set, category_name},
    stats::Stats,
};
use crate::self_metrics::{SCRIPTS, SCRIPTS_BROKEN, SelfMetrics};

/// How many scripts the metrics tell apart; series cannot be taken back.
const MOST_SHOWN: usize = 4096;
const OTHER: &str = "~other";

/// Texts of scripts, as far as they could be read.
pub(super) type Sources = BTreeMap<(Category, String), io::Result<String>>;

/// One script of one namespace.
#[derive(Debug)]
pub(super) struct Entry {
    /// The latest text that compiled.
    pub(super) running: Option<Arc<Running>>,
    /// When that was.
    pub(super) updated: Option<SystemTime>,
    /// Why the latest text cannot be used.
    pub(super) mistake: Option<String>,
    /// The latest text, if it could be read.
    source: Option<String>,
    pub(super) stats: Arc<Stats>,
}

/// The scripts of all namespaces.
#[derive(Debug)]
pub(super) struct Store {
    config: Config,
    engine: Engine,
    entries: BTreeMap<Key, Entry>,
    shown: BTreeSet<(Category, String)>,
    gauges: [(Gauge, Gauge); Namespace::ALL.len()],
    metrics: Arc<SelfMetrics>,
}

/// There are too many scripts.
#[derive(Debug, thiserror::Error)]
#[error("there are {MOST_SCRIPTS} scripts already")]
pub(super) struct TooMany;

impl Store {
    pub(super) fn new(config: Config, engine: Engine, metrics: &Arc<SelfMetrics>) -> Self {
        let gauges = Namespace::ALL.map(|own| {
            let labels = [own.name()];
            (
                metrics.gauge(&SCRIPTS, &labels),
                metrics.gauge(&SCRIPTS_BROKEN, &labels),
            )
        });
        Self {
            config,
            engine,
            entries: BTreeMap::new(),
            shown: BTreeSet::new(),
            gauges,
            metrics: Arc::clone(metrics),
        }
    }

    /// What is in force.
    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    /// Go over to `config`; `local` is what is in its folder, if that is another one.
    pub(super) fn go_over(&mut self, config: Config, local: Option<Sources>) {
        if let Some(local) = local {
            self.replace(Namespace::Local, local);
        }
        if let Some(state) = &config.state
            && self.config.state != config.state
        {
            self.move_to(state);
        }
        self.config = config;
    }

    /// Keep loaded scripts in the folder `state`, with those that are there already.
    fn move_to(&mut self, state: &Path) {
        for ((category, name), source) in Look::at(state).read() {
            let key = Key {
                category,
                name,
                namespace: Namespace::Loaded,
            };
            if !self.entries.contains_key(&key) {
                self.put_if_room(key, source);
            }
        }
        for (key, entry) in &self.entries {
            if key.namespace == Namespace::Loaded
                && let Some(source) = &entry.source
                && let Err(error) = folder::save(state, key.category, &key.name, source)
            {
                let (category, folder) = (category_name(key.category), state.display());
                error!(category, script = key.name, %folder, "loaded script not kept: {error}");
            }
        }
    }

    /// Every script, by category, name and namespace.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// What is to run, of every category and name the first.
    pub(super) fn set(&self) -> Set {
        for (namespace, (running, broken)) in Namespace::ALL.into_iter().zip(&self.gauges) {
            let of = |is: fn(&Entry) -> bool| {
                let own = self.entries.iter();
                let count = own.filter(|(key, entry)| key.namespace == namespace && is(entry));
                u32::try_from(count.count()).unwrap_or(u32::MAX)
            };
            running.set(of(|entry| entry.running.is_some()));
            broken.set(of(|entry| entry.mistake.is_some()));
        }
        let compiled = self.entries.iter();
        let compiled = compiled.filter_map(|(key, entry)| Some((key, entry.running.as_ref()?)));
        Set::new(compiled, self.config.limits)
    }

    /// Compile a text.
    pub(super) fn compile(&self, source: &str) -> Result<weir_script::Script, CompileError> {
        self.engine.compile(source)
    }

    /// Whether there is room for `key`.
    pub(super) fn room(&self, key: &Key) -> Result<(), TooMany> {
        let is_there = self.entries.contains_key(key);
        (is_there || self.entries.len() < MOST_SCRIPTS)
            .then_some(())
            .ok_or(TooMany)
    }

    /// Take the text of `key`, if it is another than before. One that does not compile is remembered as a mistake,
    /// and what ran before keeps running.
    fn put(&mut self, key: Key, source: io::Result<String>) {
        let source = match source {
            Ok(source) => source,
            Err(error) => {
                let entry = self.entry(&key);
                let mistake = format!("it cannot be read: {error}");
                if entry.mistake.replace(mistake.clone()) != Some(mistake.clone()) {
                    tell(&key, &mistake);
                }
                entry.source = None;
                return;
            }
        };
        if let Some(entry) = self.entries.get(&key)
            && entry.source.as_ref() == Some(&source)
        {
            return;
        }
        match self.engine.compile(&source) {
            Ok(script) => self.run(key, script),
            Err(error) => {
                let text = format!("{error}\n{}", error.text);
                tell(&key, &text);
                let entry = self.entry(&key);
                entry.mistake = Some(text);
                entry.source = Some(source);
            }
        }
    }

    /// `script` is the one of `key` from now on.
    pub(super) fn run(&mut self, key: Key, script: weir_script::Script) {
        let (category, namespace) = (category_name(key.category), key.namespace.name());
        info!(category, script = key.name, namespace, "script taken");
        let entry = self.entry(&key);
        entry.source = Some(script.source().to_owned());
        entry.mistake = None;
        entry.updated = Some(SystemTime::now());
        let stats = Arc::clone(&entry.stats);
        entry.running = Some(Arc::new(Running { key, script, stats }));
    }

    /// Remove a script; whether there was one.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        let is_there = self.entries.remove(key).is_some();
        if is_there {
            let (category, namespace) = (category_name(key.category), key.namespace.name());
            info!(category, script = key.name, namespace, "script removed");
        }
        is_there
    }

    /// `sources` are all scripts of `namespace`.
    pub(super) fn replace(&mut self, namespace: Namespace, sources: Sources) {
        let gone = self.entries.keys().filter(|key| {
            // Cloned to compare; a folder changes rarely.
            key.namespace == namespace && !sources.contains_key(&(key.category, key.name.clone()))
        });
        for key in gone.cloned().collect::<Vec<_>>() {
            self.remove(&key);
        }
        for ((category, name), source) in sources {
            let key = Key {
                category,
                name,
                namespace,
            };
            self.put_if_room(key, source);
        }
    }

    fn put_if_room(&mut self, key: Key, source: io::Result<String>) {
        match self.room(&key) {
            Ok(()) => self.put(key, source),
            Err(too_many) => tell(&key, &too_many.to_string()),
        }
    }

    fn entry(&mut self, key: &Key) -> &mut Entry {
        let Self {
            entries,
            shown,
            metrics,
            ..
        } = self;
        entries.entry(key.clone()).or_insert_with(|| {
            let name = (key.category, key.name.clone());
            let is_shown = shown.contains(&name) || shown.len() < MOST_SHOWN && shown.insert(name);
            let shown_as = if is_shown { key.name.as_str() } else { OTHER };
            Entry {
                running: None,
                updated: None,
                mistake: None,
                source: None,
                stats: Arc::new(Stats::new(key, shown_as, metrics)),
            }
        })
    }
}

fn tell(key: &Key, mistake: &str) {
    let (category, namespace) = (category_name(key.category), key.namespace.name());
    error!(
        category,
        script = key.name,
        namespace,
        "script not taken: {mistake}"
    );
}
