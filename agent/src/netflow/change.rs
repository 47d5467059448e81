//! Settings that change while the collector runs.

use std::{sync::Arc, time::Instant};

use super::{Collector, Outputs, kernel::Chosen, open_translations};
use crate::{config::Netflow, names::Names, namespaces::Namespaces};

/// What is different from now on.
pub(super) struct Change {
    pub(super) config: Netflow,
    pub(super) names: Option<Arc<Names>>,
}

/// Whether what differs between two settings is made when programs are loaded and attached.
#[must_use]
pub fn needs_restart(before: &Netflow, after: &Netflow) -> bool {
    let Netflow {
        enabled: _,
        period: _,
        hook,
        per_connection: _,
        max_connections: _,
        map_sockets,
        udp,
        nat: _,
        ring,
    } = before;
    *hook != after.hook
        || *map_sockets != after.map_sockets
        || *udp != after.udp
        || *ring != after.ring
}

impl Collector {
    /// Returns when the period began that runs now.
    pub(super) fn change(&mut self, change: Change, outputs: &Outputs, began: Instant) -> Instant {
        let Change { config, names } = change;
        let mut began = began;
        if config.per_connection != self.config.per_connection {
            // Rows of one kind to here, of the other from here on.
            began = self.report(outputs, began);
        }
        self.connections
            .set(config.max_connections, config.per_connection);
        self.connections.name_peers(names);
        self.source.limit(config.max_connections);
        if config.nat != self.config.nat {
            self.follow_translations_by(&config);
            outputs.status.set_hooks("netflow", &self.hooks);
        }
        self.config = config;
        began
    }

    /// Reads the translated connections anew, also where only the size of the table is another.
    fn follow_translations_by(&mut self, config: &Netflow) {
        self.hooks.retain(|chosen| chosen.event != "nat");
        self.connections.translations = None;
        let namespaces = match self.namespaces.take() {
            Some(namespaces) => Ok(namespaces),
            None => Namespaces::find(),
        };
        match namespaces {
            Ok(namespaces) => {
                let translations = open_translations(config, &namespaces, &mut self.hooks);
                let followed = translations.is_some() || self.source.follows_namespaces();
                self.connections.translations = translations;
                self.namespaces = followed.then_some(namespaces);
            }
            Err(error) => {
                let why = crate::error_chain(&error);
                self.hooks.push(Chosen::none("nat", why));
            }
        }
    }
}
