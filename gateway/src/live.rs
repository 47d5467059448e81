//! Going over to another configuration while the gateway runs.

mod exporters;
mod fixed;
mod outputs;

use std::error::Error;

use tracing::{error, warn};
use weir_runtime::reload::Outcome;

pub(crate) use self::{fixed::Fixed, outputs::Outputs};
use crate::config::Config;

/// A part of the gateway that goes over to another configuration while it runs.
pub trait Live: Send {
    /// Goes over from `before`, by which it runs, to `config`. What cannot be in force is noted, and put in `config`
    /// as it is in `before`. Must not wait.
    fn apply(&mut self, before: &Config, config: &mut Config, notes: &mut Notes);
}

/// What of a configuration is not in force.
#[derive(Debug, Default)]
pub struct Notes {
    refused: bool,
    failed: bool,
}

impl Notes {
    /// `key` cannot change while the gateway runs.
    pub fn refuse(&mut self, key: &'static str) {
        warn!(key, "cannot change while the gateway runs; stays as it was");
        self.refused = true;
    }

    /// A part did not start, or not otherwise; it goes on as before.
    pub fn fail(&mut self, error: &(dyn Error + 'static)) {
        error!(error, "a part of the configuration is not in force");
        self.failed = true;
    }

    /// All in all.
    pub fn outcome(&self) -> Outcome {
        if self.failed {
            Outcome::Failed
        } else if self.refused {
            Outcome::Partly
        } else {
            Outcome::Applied
        }
    }
}
