//! Configuration: one YAML file per process, overridden by environment
//! variables, with every mistake reported at once.

mod document;
mod environment;
mod mistake;
mod nearest;
mod scalar;
mod section;
mod tree;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    string::FromUtf8Error,
};

use self::{document::Mapping, environment::Environment, section::Reader};
pub use self::{
    mistake::{Mistake, Mistakes, Place, Position},
    scalar::{ByteSize, Scalar},
    section::Section,
    tree::Tree,
};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read at all.
    #[error("cannot read the configuration file {}", file.display())]
    Unreadable {
        /// The file that was asked for.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not text.
    #[error("the configuration file {} is not UTF-8 text", file.display())]
    NotText {
        /// The file that was asked for.
        file: PathBuf,
        /// Where the text stops being UTF-8.
        source: FromUtf8Error,
    },
    /// The file was read; it or the environment has mistakes in it.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

/// A parsed file and the environment overrides that apply to it.
///
/// The key `a.b.c` is overridden by the variable `PREFIX_A_B_C`; an empty
/// variable counts as unset. A list is overridden by comma-separated items, a map by
/// comma-separated `name=value` pairs.
#[derive(Debug, Clone)]
pub struct Document {
    file: String,
    /// What lies over the file.
    layer: String,
    root: Mapping,
    environment: Environment,
    mistakes: Vec<Mistake>,
}

/// A key that a process asks its configuration for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its dotted path, e.g. `metrics.listen`.
    pub path: String,
    /// The default as one would write it in the file; `None` for an optional key.
    pub default: Option<String>,
}

impl Document {
    /// Read the file at `file` and the variables of this process whose names
    /// begin with `env_prefix` and an underscore.
    ///
    /// # Errors
    /// The file cannot be read, is not UTF-8, or is not YAML.
    pub fn load(file: &Path, env_prefix: &str) -> Result<Self, ConfigError> {
        let bytes = fs::read(file).map_err(|source| ConfigError::Unreadable {
            file: file.to_owned(),
            source,
        })?;
        let text = String::from_utf8(bytes).map_err(|source| ConfigError::NotText {
            file: file.to_owned(),
            source,
        })?;
        let variables = env::vars_os().map(|(name, value)| {
            let [name, value] = [name, value].map(|text| text.to_string_lossy().into_owned());
            (name, value)
        });
        Self::parse(&file.display().to_string(), &text, env_prefix, variables)
    }

    /// As [`Self::load`], for text and variables already at hand. `file_name` is
    /// only used in messages.
    ///
    /// # Errors
    /// The text is not YAML. Lesser mistakes are kept for [`Self::read`], which
    /// reports them together with its own.
    pub fn parse(
        file_name: &str,
        text: &str,
        env_prefix: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut mistakes = Vec::new();
        match document::read(text, &mut mistakes) {
            Some(root) => Ok(Self {
                file: file_name.to_owned(),
                layer: String::new(),
                root,
                environment: Environment::gather(env_prefix, env),
                mistakes,
            }),
            None => Err(Mistakes::new(file_name, "", mistakes).into()),
        }
    }

    /// Lay `layer` over this: where both have a key, it has that of `layer`. It may have `sections` at its
    /// top level; others are mistakes. Overrides by variables are those of this document, and win over both.
    #[must_use]
    pub fn under(mut self, mut layer: Self, sections: &[&str]) -> Self {
        self.layer = layer.file;
        for entry in layer.root.entries() {
            if !sections.contains(&entry.key.as_str()) {
                layer.mistakes.push(Mistake {
                    place: entry.at.clone(),
                    key: entry.key.clone(),
                    message: format!("may not be set here; only {} may", sections.join(", ")),
                });
            }
        }
        layer.root.retain(sections);
        for mut mistake in layer.mistakes {
            mistake.place.lift();
            self.mistakes.push(mistake);
        }
        layer.root.lift();
        self.root.overlay(layer.root);
        self
    }

    /// Read the configuration with `f`, which asks for every key it knows.
    ///
    /// # Errors
    /// All mistakes in the file and in the overrides, in the order of the file:
    /// broken syntax, keys given twice, values of the wrong kind, keys and
    /// overrides that `f` did not ask for, and what `f` itself found wrong.
    pub fn read<T>(self, f: impl FnOnce(&mut Section<'_>) -> T) -> Result<T, ConfigError> {
        let mut reader = Reader::new(self.environment, self.mistakes);
        let value = f(&mut Section::root(&self.root, &mut reader));
        let mistakes = reader.finish(&self.root);
        if mistakes.is_empty() {
            Ok(value)
        } else {
            Err(Mistakes::new(&self.file, &self.layer, mistakes).into())
        }
    }

    /// Every key that `f` asks for, with its default, in the order asked.
    pub fn keys<T>(f: impl FnOnce(&mut Section<'_>) -> T) -> Vec<Key> {
        let root = Mapping::default();
        let mut reader = Reader::listing();
        f(&mut Section::root(&root, &mut reader));
        reader.into_keys()
    }
}

#[cfg(test)]
mod tests;
