//! What stays as it was when the gateway started.

use super::{Live, Notes};
use crate::config::Config;

/// Refuses changes of what cannot change.
pub(crate) struct Fixed;

/// A key or a section, whether it differs, and how to keep it.
type Part = (
    &'static str,
    fn(&Config, &Config) -> bool,
    fn(&Config, &mut Config),
);

/// Listeners cannot move without turning away who is connected, and what they are made with moves with them.
const PARTS: [Part; 4] = [
    (
        "flow",
        |before, config| before.flow != config.flow,
        |before, config| config.flow = before.flow.clone(),
    ),
    (
        "prometheus.listen",
        |before, config| before.prometheus.listen != config.prometheus.listen,
        |before, config| config.prometheus.listen = before.prometheus.listen,
    ),
    (
        "otlp_receiver",
        |before, config| before.otlp_receiver != config.otlp_receiver,
        |before, config| config.otlp_receiver.clone_from(&before.otlp_receiver),
    ),
    (
        "subscription",
        |before, config| before.subscription != config.subscription,
        |before, config| config.subscription = before.subscription.clone(),
    ),
];

impl Live for Fixed {
    fn apply(&mut self, before: &Config, config: &mut Config, notes: &mut Notes) {
        for (key, differs, keep) in PARTS {
            if differs(before, config) {
                notes.refuse(key);
                keep(before, config);
            }
        }
    }
}
