//! Tables of users: CSV files whose rows are found by a key.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use tracing::{error, info};
use vrl::{
    prelude::{KeyString, ObjectMap},
    value::Value,
};

use super::watched::{Look, Watch};

/// Largest file; in memory it takes two to three times that.
const LARGEST: u64 = 64 * 1024 * 1024;
/// Most columns.
const MOST_COLUMNS: usize = 256;
/// Longest row, in bytes: what a program can have of it at once.
const LONGEST_ROW: usize = 64 * 1024;
/// Stands between the columns of a key: a separator that no text has.
const BETWEEN: char = '\u{1f}';

/// A table and the file it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSettings {
    /// What programs call it.
    pub name: String,
    /// The CSV file, whose first row has the names of the columns.
    pub file: PathBuf,
    /// The columns that a row is found by; without, the first one.
    pub key: Vec<String>,
}

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
enum TableError {
    #[error("cannot read it: {0}")]
    Unreadable(#[source] io::Error),
    #[error("it is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("it is no CSV: {0}")]
    Csv(#[from] csv::Error),
    #[error("more than {MOST_COLUMNS} columns")]
    TooManyColumns,
    #[error("two columns are called `{0}`")]
    SameColumn(String),
    #[error("there is no column `{0}`")]
    NoColumn(String),
    #[error("line {0}: more than {LONGEST_ROW} bytes")]
    LongRow(u64),
    #[error("line {second}: the same key as line {first}")]
    SameKey { first: u64, second: u64 },
}

/// The rows of one file.
#[derive(Debug)]
struct Table {
    columns: Vec<KeyString>,
    /// How many columns a key has.
    key: usize,
    rows: HashMap<Box<str>, Row>,
}

#[derive(Debug)]
struct Row {
    line: u64,
    /// All cells one behind the other, and where each ends.
    text: Box<str>,
    ends: Box<[u32]>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoTable {
    #[error("no table `{0}` is configured")]
    Unknown(String),
    #[error("the file of table `{0}` could not be used yet; see the log")]
    NotRead(String),
    #[error("the key of table `{name}` has {wanted} columns, and {found} are given")]
    Key {
        name: String,
        wanted: usize,
        found: usize,
    },
}

/// All tables.
#[derive(Debug)]
pub struct Tables {
    source: Mutex<Vec<Source>>,
    current: ArcSwap<HashMap<String, Option<Arc<Table>>>>,
}

#[derive(Debug)]
struct Source {
    settings: TableSettings,
    watch: Watch,
    table: Option<Arc<Table>>,
    is_broken: bool,
}

impl Tables {
    /// Read the files. Those that cannot be used are told in the log.
    pub(crate) fn open(settings: Vec<TableSettings>) -> Self {
        let tables = Self {
            source: Mutex::new(Vec::new()),
            current: ArcSwap::default(),
        };
        tables.change(settings);
        tables
    }

    /// Have these tables from now on. Those that stay the same are not read again.
    pub(crate) fn change(&self, settings: Vec<TableSettings>) {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *source);
        for settings in settings {
            let known = before.iter().position(|own| own.settings == settings);
            source.push(match known {
                Some(place) => before.swap_remove(place),
                None => Source::open(settings),
            });
        }
        self.publish(&source);
    }

    /// Read what has changed on disk. A file that cannot be used leaves what it was before in use.
    pub(crate) fn refresh(&self) {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_changed = false;
        for own in source.iter_mut() {
            let look = Look::at([own.settings.file.as_path()], "");
            if own.watch.due(&look).is_some() {
                own.read();
                is_changed = true;
            }
        }
        if is_changed {
            self.publish(&source);
        }
    }

    fn publish(&self, source: &[Source]) {
        let tables = source.iter();
        let tables = tables.map(|own| (own.settings.name.clone(), own.table.clone()));
        self.current.store(Arc::new(tables.collect()));
    }

    /// The row of table `name` that has `key`, as an object without the cells that are empty.
    pub(crate) fn row(&self, name: &str, key: &[&str]) -> Result<Option<Value>, NoTable> {
        let tables = self.current.load();
        let table = tables.get(name);
        let table = table.ok_or_else(|| NoTable::Unknown(name.to_owned()))?;
        let table = table.as_ref();
        let table = table.ok_or_else(|| NoTable::NotRead(name.to_owned()))?;
        if table.key != key.len() {
            return Err(NoTable::Key {
                name: name.to_owned(),
                wanted: table.key,
                found: key.len(),
            });
        }
        let row = match key {
            [key] => table.rows.get(*key),
            several => table.rows.get(joined(several.iter().copied()).as_str()),
        };
        Ok(row.map(|row| row.value(&table.columns)))
    }

    /// How many tables can be used, and how many files cannot.
    pub fn files(&self) -> (usize, usize) {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |is: fn(&Source) -> bool| source.iter().filter(|own| is(own)).count();
        (count(|own| own.table.is_some()), count(|own| own.is_broken))
    }
}

impl Source {
    fn open(settings: TableSettings) -> Self {
        let look = Look::at([settings.file.as_path()], "");
        let mut source = Self {
            settings,
            watch: Watch::of(look),
            table: None,
            is_broken: false,
        };
        source.read();
        source
    }

    fn read(&mut self) {
        let TableSettings { name, file, key } = &self.settings;
        match Table::read(file, key) {
            Ok(table) => {
                let rows = table.rows.len();
                info!(table = name, file = %file.display(), rows, "table read");
                self.table = Some(Arc::new(table));
                self.is_broken = false;
            }
            Err(error) => {
                error!(table = name, file = %file.display(), "table not read: {error}");
                self.is_broken = true;
            }
        }
    }
}

impl Table {
    fn read(file: &Path, key: &[String]) -> Result<Self, TableError> {
        let file = File::open(file).map_err(TableError::Unreadable)?;
        let size = file.metadata().map_err(TableError::Unreadable)?.len();
        if size > LARGEST {
            return Err(TableError::TooLarge);
        }
        Self::of(file.take(LARGEST), key)
    }

    fn of(content: impl Read, key: &[String]) -> Result<Self, TableError> {
        let mut reader = csv::ReaderBuilder::new();
        let mut reader = reader.trim(csv::Trim::All).from_reader(content);
        let columns = reader.headers()?.clone();
        if columns.len() > MOST_COLUMNS {
            return Err(TableError::TooManyColumns);
        }
        for (place, name) in columns.iter().enumerate() {
            if columns.iter().take(place).any(|own| own == name) {
                return Err(TableError::SameColumn(name.to_owned()));
            }
        }
        let keys: Vec<usize> = if key.is_empty() {
            vec![0]
        } else {
            let place = |name: &String| {
                let place = columns.iter().position(|own| own == name);
                place.ok_or_else(|| TableError::NoColumn(name.clone()))
            };
            key.iter().map(place).collect::<Result<_, _>>()?
        };
        let mut rows = HashMap::new();
        for record in reader.into_records() {
            let record = record?;
            let row = Row::of(&record);
            if row.text.len() > LONGEST_ROW {
                return Err(TableError::LongRow(row.line));
            }
            let key = joined(keys.iter().filter_map(|place| record.get(*place)));
            let second = row.line;
            if let Some(Row { line: first, .. }) = rows.insert(key.into_boxed_str(), row) {
                return Err(TableError::SameKey { first, second });
            }
        }
        Ok(Self {
            columns: columns.iter().map(KeyString::from).collect(),
            key: keys.len(),
            rows,
        })
    }
}

impl Row {
    fn of(record: &csv::StringRecord) -> Self {
        let mut ends = Vec::with_capacity(record.len());
        let mut text = String::new();
        for cell in record {
            text.push_str(cell);
            // A row as long as that is refused.
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        Self {
            line: record.position().map_or(0, csv::Position::line),
            text: text.into(),
            ends: ends.into(),
        }
    }

    fn value(&self, columns: &[KeyString]) -> Value {
        let mut begin = 0;
        let mut object = ObjectMap::new();
        for (column, end) in columns.iter().zip(&self.ends) {
            let cell = self.text.get(begin..*end as usize).unwrap_or_default();
            begin = *end as usize;
            if !cell.is_empty() {
                object.insert(column.clone(), Value::from(cell));
            }
        }
        Value::Object(object)
    }
}

fn joined<'a>(mut key: impl Iterator<Item = &'a str>) -> String {
    let mut text = key.next().unwrap_or_default().to_owned();
    for part in key {
        text.push(BETWEEN);
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests;
