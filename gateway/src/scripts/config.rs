//! The section `scripts` of the configuration.

use std::{path::PathBuf, time::Duration};

use weir_runtime::config::{ByteSize, Section};
use weir_script::Limits;

/// Where scripts are and what they may use up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The folder with one folder per category; without, there are only loaded and shipped scripts.
    pub folder: Option<PathBuf>,
    /// Where loaded scripts are kept; without, they are forgotten when the gateway stops.
    pub state: Option<PathBuf>,
    /// How often the folder is looked at.
    pub watch: Duration,
    /// What one script may use up for one Point.
    pub limits: Limits,
}

/// A change counts once two looks have seen the same, so that no half-written file is taken: half a second.
const WATCH: Duration = Duration::from_millis(250);

impl Config {
    /// Read every key of `section`.
    pub fn read(section: &mut Section<'_>) -> Self {
        let limits = Limits::default();
        let folder = section.optional("folder");
        let state = section.optional("state");
        let watch = section.or("watch", WATCH);
        if watch.is_zero() {
            section.mistake("watch", "must be longer than 0s");
        }
        let operations = section.or("operations", limits.operations);
        if operations == 0 {
            section.mistake("operations", "must be at least 1");
        }
        let ByteSize(result) = section.or("result", ByteSize(limits.result as u64));
        if result == 0 {
            section.mistake("result", "must be more than 0");
        }
        Self {
            folder,
            state,
            watch,
            limits: Limits {
                operations,
                result: usize::try_from(result).unwrap_or(usize::MAX),
            },
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: None,
            state: None,
            watch: WATCH,
            limits: Limits::default(),
        }
    }
}
