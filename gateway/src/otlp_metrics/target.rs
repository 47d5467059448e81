//! `target_info`: what is known of each resource beyond its job and instance.

use hashbrown::HashMap;

use super::series::Tick;
use crate::page::{Head, Kind, Labels, Number, Origin, Page};

pub(super) const NAME: &str = "target_info";
/// As OpenMetrics has it.
pub(super) const BASE: &str = "target";

/// The resources by job and instance.
#[derive(Debug, Default)]
pub(super) struct Targets {
    targets: HashMap<Box<str>, Target>,
}

#[derive(Debug)]
struct Target {
    touched: Tick,
    labels: Box<str>,
}

impl Targets {
    /// The resource `identity` has these labels now; false if there is no room for it. One row
    /// per identity: with two, joins on job and instance would fail.
    pub(super) fn take(&mut self, identity: &str, labels: &str, now: Tick, budget: usize) -> bool {
        if let Some(target) = self.targets.get_mut(identity) {
            target.touched = now;
            if *target.labels != *labels {
                target.labels = labels.into();
            }
            return true;
        }
        if self.targets.len() >= budget {
            return false;
        }
        let target = Target {
            touched: now,
            labels: labels.into(),
        };
        self.targets.insert(identity.into(), target);
        true
    }

    pub(super) fn sweep(&mut self, now: Tick, expiry: Tick) {
        self.targets
            .retain(|_, target| now.saturating_sub(target.touched) <= expiry);
    }

    pub(super) fn render(&self, crowded: bool, page: &mut Page) {
        if self.targets.is_empty() {
            return;
        }
        page.family(&Head {
            name: NAME,
            kind: Kind::Info,
            help: "What is known of the sender of metrics with this job and instance.",
            unit: "",
            crowded,
        });
        for (identity, target) in &self.targets {
            let labels = Labels(identity, &target.labels);
            page.number(labels, Number::Count(1), Origin::default());
        }
    }
}
