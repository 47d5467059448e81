//! Looking at the folder again and again, and going over to another configuration.

use std::sync::Arc;

use tokio::{sync::watch, task::spawn_blocking, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Config, Scripts,
    folder::{self, Look},
    set::Namespace,
};
use crate::{
    config,
    live::{Live, Notes},
};

/// When files are to be looked at.
pub(crate) struct Looks(watch::Receiver<Config>);

impl Looks {
    /// Wait until it is time to look again, or there is another configuration; which one there is then.
    pub(crate) async fn next(&mut self) -> Config {
        let every = self.0.borrow().watch;
        // It is the one or the other.
        timeout(every, self.0.changed()).await.ok();
        self.0.borrow_and_update().clone()
    }
}

impl Live for Arc<Scripts> {
    /// Reading scripts can take a second: those before run until then.
    fn apply(&mut self, _before: &config::Config, config: &mut config::Config, _: &mut Notes) {
        self.configured.send_if_modified(|configured| {
            let is_other = *configured != config.scripts;
            configured.clone_from(&config.scripts);
            is_other
        });
    }
}

impl Scripts {
    /// When files that scripts need are to be looked at, for as long as there are scripts.
    pub(crate) fn looks(&self) -> Looks {
        Looks(self.configured.subscribe())
    }

    /// Watch the folder and the configuration until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut looks = self.looks();
        let mut watch = Watch::default();
        while let Some(config) = stop.run_until_cancelled(looks.next()).await {
            let this = Arc::clone(&self);
            let looked = spawn_blocking(move || {
                watch.look(&this, config);
                watch
            });
            // Only a panic ends it, which the task of its own has told.
            let Ok(looked) = looked.await else { return };
            watch = looked;
        }
    }
}

/// What was seen of the folder.
#[derive(Default)]
struct Watch {
    /// At the latest look.
    latest: Look,
    /// What the scripts were read from; `None` before that is certain.
    taken: Option<Look>,
}

impl Watch {
    fn look(&mut self, scripts: &Scripts, config: Config) {
        let look = config.folder.as_deref().map(Look::at).unwrap_or_default();
        let before = scripts.store().config().clone();
        if before != config {
            let is_moved = before.folder != config.folder;
            if let Some(folder) = config.folder.as_deref().filter(|_| is_moved) {
                folder::tell_strangers(folder);
            }
            let local = is_moved.then(|| look.read());
            scripts.change(|store| store.go_over(config, local));
        }
        if self.is_due(look) {
            self.take(scripts);
        }
    }

    /// Whether it is to be read: it was the same at two looks, and is another than what was read before.
    fn is_due(&mut self, look: Look) -> bool {
        let is_settled = look == self.latest;
        self.latest = look;
        is_settled && self.taken.as_ref() != Some(&self.latest)
    }

    fn take(&mut self, scripts: &Scripts) {
        let sources = self.latest.read();
        // Read in the middle of a change it may be half of it: next time.
        let folder = scripts.store().config().folder.clone();
        if folder.as_deref().map(Look::at).unwrap_or_default() == self.latest {
            scripts.change(|store| store.replace(Namespace::Local, sources));
            self.taken = Some(self.latest.clone());
        }
    }
}
