//! Tables from CSV files.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use weir_point::Text;

use super::file::Watched;

/// The largest file, in bytes.
const MOST_BYTES: u64 = 64 << 20;

/// Why a file is no table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    /// It is no CSV.
    #[error("it is no CSV")]
    Csv(#[from] csv::Error),
    /// There is nothing to look up by.
    #[error("its first line names no columns")]
    NoColumns,
    /// A key twice.
    #[error("the key `{key}` is there twice")]
    Twice { key: String },
}

/// A table: rows by the value of the first column.
#[derive(Debug, Default)]
pub struct Table {
    columns: Vec<Text>,
    rows: HashMap<Box<str>, Box<[Text]>>,
}

impl Table {
    fn read(bytes: &[u8]) -> Result<Self, TableError> {
        let mut reader = csv::Reader::from_reader(bytes);
        let columns: Vec<Text> = reader.headers()?.iter().map(Text::from).collect();
        if columns.first().is_none_or(|column| column.is_empty()) {
            return Err(TableError::NoColumns);
        }
        let mut rows = HashMap::new();
        for record in reader.records() {
            let record = record?;
            let key = record.get(0).unwrap_or_default();
            let values = record.iter().skip(1).map(Text::from).collect();
            if rows.insert(key.into(), values).is_some() {
                return Err(TableError::Twice {
                    key: key.to_owned(),
                });
            }
        }
        Ok(Self { columns, rows })
    }

    /// The other columns of the row of `key`, with their names.
    pub fn row(&self, key: &str) -> Option<impl Iterator<Item = (&Text, &Text)>> {
        let values = self.rows.get(key)?;
        Some(self.columns.iter().skip(1).zip(values))
    }
}

/// Tables by name. Files that change are read anew.
#[derive(Debug)]
pub struct Tables {
    files: Mutex<BTreeMap<String, Watched<Arc<Table>>>>,
    current: ArcSwap<BTreeMap<String, Arc<Table>>>,
}

impl Tables {
    pub(super) fn new(files: BTreeMap<String, PathBuf>) -> Self {
        let files = files.into_iter();
        Self {
            files: Mutex::new(
                files
                    .map(|(name, path)| (name, Watched::new(path)))
                    .collect(),
            ),
            current: ArcSwap::default(),
        }
    }

    /// Other files from now on; those that were there before are kept.
    pub(super) fn read_from(&self, files: BTreeMap<String, PathBuf>) {
        let mut held = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *held);
        let kept = files.into_iter().map(|(name, path)| {
            let known = before.remove(&name).filter(|file| file.path() == path);
            (name, known.unwrap_or_else(|| Watched::new(path)))
        });
        *held = kept.collect();
        self.use_what_is_there(&held);
    }

    pub(super) fn refresh(&self) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_new = false;
        for file in files.values_mut() {
            is_new |= file.refresh(MOST_BYTES, |bytes| Table::read(&bytes).map(Arc::new));
        }
        if is_new {
            self.use_what_is_there(&files);
        }
    }

    fn use_what_is_there(&self, files: &BTreeMap<String, Watched<Arc<Table>>>) {
        let made = files
            .iter()
            .filter_map(|(name, file)| Some((name.clone(), Arc::clone(file.made()?))));
        self.current.store(Arc::new(made.collect()));
    }

    /// The table of that name, as it is now.
    pub fn table(&self, name: &str) -> Option<Arc<Table>> {
        self.current.load().get(name).map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn team(tables: &Tables, key: &str) -> Option<String> {
        let table = tables.table("owners")?;
        let (column, value) = table.row(key)?.next()?;
        assert_eq!(column, "team");
        Some(value.to_string())
    }

    #[test]
    fn a_file_that_changes_is_read_anew_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("owners.csv");
        fs::write(&file, "service,team\ncart,red\n\"a,b\",blue\n").unwrap();
        let tables = Tables::new([("owners".to_owned(), file.clone())].into());
        tables.refresh();
        assert_eq!(team(&tables, "cart").as_deref(), Some("red"));
        assert_eq!(team(&tables, "a,b").as_deref(), Some("blue"));
        assert_eq!(team(&tables, "none"), None);

        fs::write(&file, "service,team\ncart,green\ncart,red\n").unwrap();
        tables.refresh();
        assert_eq!(team(&tables, "cart").as_deref(), Some("red"), "a key twice");
        fs::write(&file, "service,team\ncart,green\n").unwrap();
        tables.refresh();
        assert_eq!(team(&tables, "cart").as_deref(), Some("green"));
        fs::remove_file(&file).unwrap();
        tables.refresh();
        assert_eq!(team(&tables, "cart").as_deref(), Some("green"), "gone");
    }
}
