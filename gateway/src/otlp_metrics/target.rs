//! `target_info`: what is known of each resource beyond its job and instance.

use hashbrown::HashMap;

use super::series::Tick;

pub(super) const NAME: &str = "target_info";

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

    pub(super) fn render(&self, out: &mut String) {
        if self.targets.is_empty() {
            return;
        }
        out.push_str("# HELP target_info What is known of the sender of metrics with this job and instance.\n# TYPE target_info gauge\n");
        for (identity, target) in &self.targets {
            for part in [NAME, "{", identity, ",", &target.labels, "} 1\n"] {
                out.push_str(part);
            }
        }
    }
}
