//! Where the configuration comes from: the agent's file, and settings of the gateway that lie over it.

use std::path::{Path, PathBuf};

use weir_runtime::config::{ConfigError, Document};

use crate::{
    config::{COLLECTORS, Config, ENV_PREFIX},
    error_chain,
};

/// What mistakes in settings of the gateway call their place.
const SETTINGS: &str = "settings of the gateway";
/// Settings that are longer, in bytes, are not looked at.
const LONGEST_SETTINGS: usize = 64 << 10;
/// A gateway is told so many mistakes.
const MOST_MISTAKES: usize = 50;

/// The file, and what lies over it.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    /// The file as it was when it last had no mistake.
    file: Option<Document>,
    /// What the gateway has sent and is in force; empty if nothing is.
    settings: String,
}

impl Source {
    /// The file at `path`, which is not read yet.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            settings: String::new(),
        }
    }

    /// Reads the file again, with the settings of the gateway over it.
    pub(super) fn read_file(&mut self) -> Result<Config, ConfigError> {
        let file = Document::load(&self.path, ENV_PREFIX)?;
        let config = read(file.clone(), &self.settings)?;
        self.file = Some(file);
        Ok(config)
    }

    /// Reads these settings over the file as it was when it last had no mistake. What is wrong with them, line by line,
    /// if something is.
    pub(super) fn read_settings(&self, settings: &str) -> Result<Config, Vec<String>> {
        if settings.len() > LONGEST_SETTINGS {
            let length = settings.len();
            let message = format!("{SETTINGS}: {length} bytes are more than {LONGEST_SETTINGS}");
            return Err(vec![message]);
        }
        let Some(file) = self.file.clone() else {
            return Err(vec![format!("{SETTINGS}: there is no file to lie over")]);
        };
        read(file, settings).map_err(|error| match error {
            ConfigError::Mistakes(mistakes) => mistakes.lines().take(MOST_MISTAKES).collect(),
            other => vec![error_chain(&other)],
        })
    }

    /// Whether these settings are in force.
    pub(super) fn has_settings(&self, settings: &str) -> bool {
        self.settings == settings
    }

    /// From now on these settings are in force.
    pub(super) fn set_settings(&mut self, settings: String) {
        self.settings = settings;
    }
}

fn read(file: Document, settings: &str) -> Result<Config, ConfigError> {
    let settings = Document::parse(SETTINGS, settings, ENV_PREFIX, [])?;
    file.under(settings, &COLLECTORS).read(Config::read)
}

#[cfg(test)]
mod tests;
