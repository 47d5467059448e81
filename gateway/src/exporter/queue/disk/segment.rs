//! The files of a lane: the last one grows, the others only wait to be read and removed.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, IoSlice, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use tracing::warn;
use weir_point::otlp::Signal;

use super::{
    Found,
    record::{Damage, HEADER, Header},
};
use crate::exporter::{ledger::Amount, queue::Span};

/// The layout of the records is part of the name.
const SUFFIX: &str = "otlp1";
/// No queue lives long enough to have more files, or positions: a larger number is none of ours, and nothing could
/// follow it.
pub(super) const LAST_NUMBER: u64 = u64::MAX / 2;

/// One file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

/// All files of one lane, by number.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    /// A file that is larger is not appended to.
    full: u64,
    kept: BTreeMap<u64, Kept>,
    next: u64,
    /// The one that is appended to.
    open: Option<u64>,
    unsynced: Vec<Arc<Segment>>,
}

#[derive(Debug)]
struct Kept {
    segment: Arc<Segment>,
    /// Where what is known to be whole ends.
    end: u64,
    /// Bytes of records not delivered or given up.
    unsettled: u64,
    /// From the head on.
    unread: Amount,
}

impl Segment {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        Ok(Self { path, file })
    }

    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub(super) fn read(&self, at: u64, length: u64) -> io::Result<Bytes> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let mut buffer = vec![0; length];
        self.file.read_exact_at(&mut buffer, at)?;
        Ok(buffer.into())
    }

    /// Goes from header to header in `start..end`. What is there, where it ends, and why it
    /// ends there if that is before `end`.
    pub(super) fn scan(
        &self,
        signal: Signal,
        start: u64,
        end: u64,
    ) -> (Found, u64, Option<Damage>) {
        let mut found = Found::default();
        let mut at = start;
        let damage = self.walk(signal, end, &mut at, &mut found).err();
        (found, at, damage)
    }

    fn walk(
        &self,
        signal: Signal,
        end: u64,
        at: &mut u64,
        found: &mut Found,
    ) -> Result<(), Damage> {
        let mut reader = BufReader::new(&self.file);
        reader.seek(SeekFrom::Start(*at))?;
        while *at < end {
            let left = end - *at;
            if left < HEADER as u64 {
                return Err(Damage::Cut);
            }
            let mut bytes = [0; HEADER];
            reader.read_exact(&mut bytes)?;
            let header = Header::decode(&bytes, signal)?;
            let whole = HEADER as u64 + header.length;
            if whole > left {
                return Err(Damage::Cut);
            }
            reader.seek_relative(i64::try_from(header.length).unwrap_or(i64::MAX))?;
            found.amount.add(Amount {
                items: header.items,
                bytes: header.length,
            });
            found.cost += whole;
            *at += whole;
        }
        Ok(())
    }

    pub(super) fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            let file = self.path.display();
            warn!(%file, error = &error as &dyn std::error::Error, "cannot remove a delivered part of a queue");
        }
    }
}

/// The files in `folder` by number.
pub(super) fn list(folder: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|suffix| suffix == SUFFIX);
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok())
            .filter(|number| *number <= LAST_NUMBER);
        if let (true, Some(number)) = (is_segment, number) {
            files.insert(number, path);
        }
    }
    Ok(files)
}

impl Segments {
    /// The first new file gets the number `next`.
    pub(super) fn new(folder: PathBuf, full: u64, next: u64) -> Self {
        Self {
            folder,
            full,
            kept: BTreeMap::new(),
            next,
            open: None,
            unsynced: Vec::new(),
        }
    }

    /// A file from before.
    pub(super) fn keep(&mut self, number: u64, segment: Segment, end: u64, unread: Found) {
        let kept = Kept {
            segment: Arc::new(segment),
            end,
            unsettled: unread.cost,
            unread: unread.amount,
        };
        self.kept.insert(number, kept);
    }

    /// A part of `number` before the head that is not delivered.
    pub(super) fn outstanding(&mut self, number: u64, cost: u64) {
        if let Some(kept) = self.kept.get_mut(&number) {
            kept.unsettled += cost;
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<Arc<Segment>> {
        let kept = self.kept.get(&number)?;
        Some(Arc::clone(&kept.segment))
    }

    /// The first one from `number` on, and where it ends now.
    pub(super) fn at_or_after(&self, number: u64) -> Option<(u64, u64, Arc<Segment>)> {
        let (number, kept) = self.kept.range(number..).next()?;
        Some((*number, kept.end, Arc::clone(&kept.segment)))
    }

    pub(super) fn is_last(&self, number: u64) -> bool {
        self.kept
            .last_key_value()
            .is_none_or(|(last, _)| *last <= number)
    }

    pub(super) fn unread(&self, number: u64) -> Amount {
        self.kept
            .get(&number)
            .map_or(Amount::default(), |kept| kept.unread)
    }

    pub(super) fn taken(&mut self, number: u64, amount: Amount) {
        if let Some(kept) = self.kept.get_mut(&number) {
            kept.unread.subtract(amount);
        }
    }

    /// Write one record. If that fails, what is there of it is cut off again.
    pub(super) fn append(
        &mut self,
        header: &[u8],
        content: &[u8],
        amount: Amount,
    ) -> io::Result<()> {
        let number = self.writable()?;
        let Some(kept) = self.kept.get_mut(&number) else {
            return Err(io::Error::other("the file of the queue is gone"));
        };
        let length = (header.len() + content.len()) as u64;
        if let Err(error) = write_both(&kept.segment.file, header, content) {
            if kept.segment.file.set_len(kept.end).is_err() {
                // Its end is not ours any more: go on in another file.
                self.open = None;
            }
            return Err(error);
        }
        kept.end += length;
        kept.unsettled += length;
        kept.unread.add(amount);
        if self
            .unsynced
            .last()
            .is_none_or(|last| !Arc::ptr_eq(last, &kept.segment))
        {
            self.unsynced.push(Arc::clone(&kept.segment));
        }
        Ok(())
    }

    fn writable(&mut self) -> io::Result<u64> {
        if let Some(number) = self.open
            && self
                .kept
                .get(&number)
                .is_some_and(|kept| kept.end < self.full)
        {
            return Ok(number);
        }
        let path = self.folder.join(format!("{:020}.{SUFFIX}", self.next));
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .open(&path)?;
        let number = self.next;
        self.next += 1;
        self.keep(number, Segment { path, file }, 0, Found::default());
        self.open = Some(number);
        Ok(number)
    }

    /// `span` is delivered or given up. The files that nobody needs any more are not in the
    /// books afterwards; the caller removes them.
    pub(super) fn settle(&mut self, span: Span) -> Vec<Arc<Segment>> {
        if let Some(kept) = self.kept.get_mut(&span.segment) {
            kept.unsettled = kept.unsettled.saturating_sub(span.len());
        }
        let (open, full) = (self.open, self.full);
        let emptied = self.kept.extract_if(.., |number, kept| {
            kept.unsettled == 0 && (Some(*number) != open || kept.end >= full)
        });
        emptied.map(|(_, kept)| kept.segment).collect()
    }

    /// The files with something that was not forced to the disk.
    pub(super) fn unsynced(&mut self) -> Vec<Arc<Segment>> {
        std::mem::take(&mut self.unsynced)
    }
}

fn write_both(mut file: &File, header: &[u8], content: &[u8]) -> io::Result<()> {
    let whole = header.len() + content.len();
    let mut written = 0;
    while written < whole {
        let head = IoSlice::new(header.get(written..).unwrap_or_default());
        let body = IoSlice::new(&content[written.saturating_sub(header.len())..]);
        match file.write_vectored(&[head, body]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
