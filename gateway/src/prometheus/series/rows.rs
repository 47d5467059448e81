//! The rows of one group of metrics, within their budget.

use std::time::{Duration, Instant};

use hashbrown::HashMap;
use tracing::warn;

use crate::{
    aggregate::Row,
    budget::{Budget, LabelValues, Notice},
    profile::Group,
};

/// One row per label set.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) rows: HashMap<Box<str>, Tracked>,
    /// What came past the budget. Never expires, so that totals stay whole.
    pub(super) other: Option<Row>,
    /// Most rows.
    budget: usize,
    full: Notice,
    values: LabelValues,
    /// Scratch space.
    folded: String,
}

/// A row that goes when it is idle.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) row: Row,
    pub(super) touched: Instant,
}

/// Where a Point belongs.
pub(super) enum Place<'a> {
    /// On the row of its label set.
    Own(&'a mut Row),
    /// On one of all label sets that differ only in values without room.
    Mixed(&'a mut Row),
    /// On the one for everything else.
    Rest(&'a mut Row),
}

impl Rows {
    /// No rows yet, and room for `budget` of them, at least one.
    pub(super) fn new(budget: usize, values: LabelValues) -> Self {
        Self {
            rows: HashMap::new(),
            other: None,
            budget: budget.max(1),
            full: Notice::default(),
            values,
            folded: String::new(),
        }
    }

    /// From now on this budget.
    pub(super) fn limit(&mut self, budget: &Budget) {
        self.budget = budget.series.max(1);
        self.values.limit(&budget.values);
    }

    /// Where a Point of `group` belongs whose `labels` have no row.
    pub(super) fn place(&mut self, labels: &str, group: &Group, now: Instant) -> Place<'_> {
        let folded = self.values.fold(labels, &mut self.folded);
        let labels = self.folded.as_str();
        if !self.rows.contains_key(labels) {
            if self.rows.len() >= self.budget {
                if self.full.is_due() {
                    let (group, budget) = (group.name, self.budget);
                    warn!(
                        group,
                        budget, "the budget of label sets is used up: new ones become ~other"
                    );
                }
                return Place::Rest(self.other.get_or_insert_with(|| Row::new(group)));
            }
            self.values.hold(labels);
        }
        let tracked = self.rows.entry(labels.into()).or_insert_with(|| Tracked {
            row: Row::new(group),
            touched: now,
        });
        tracked.touched = now;
        let row = &mut tracked.row;
        if folded.is_none() {
            Place::Own(row)
        } else {
            Place::Mixed(row)
        }
    }

    /// Remove rows that were idle for too long; returns how many.
    pub(super) fn sweep(&mut self, idle_expiry: Duration) -> usize {
        let before = self.rows.len();
        let values = &mut self.values;
        self.rows.retain(|labels, tracked| {
            let is_live = tracked.touched.elapsed() <= idle_expiry;
            if !is_live {
                values.release(labels);
            }
            is_live
        });
        let left = self.rows.len();
        if left < self.rows.capacity() / 4 {
            self.rows.shrink_to(left * 2);
        }
        before - left
    }
}
