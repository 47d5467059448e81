//! The folder of one exporter: a lock, and a lane for each signal.

use std::{
    collections::VecDeque,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, atomic::AtomicU64},
};

use metrics::Counter;
use weir_point::otlp::Signal;

use super::{
    Amount, Found, Log, Place, Position, PositionFile, Span, State, report,
    segment::{self, Segment, Segments},
};

/// A queue on disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another exporter of this one, uses it.
    #[error("the queue in {} is used by another exporter", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// It cannot be made or read.
    #[error("cannot use the queue in {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The folder, locked until this is dropped.
#[derive(Debug)]
pub(in crate::exporter) struct Folder {
    path: PathBuf,
    segment_size: u64,
    unreadable: Counter,
    lock: File,
}

/// Segments are this part of the queue, within limits, so that few delivered bytes stay on disk.
const SEGMENTS: u64 = 32;
const SMALLEST_SEGMENT: u64 = 256 * 1024;
const LARGEST_SEGMENT: u64 = 16 * 1024 * 1024;

impl Folder {
    /// The folder at `path` for a queue of `size` bytes; `unreadable` counts bytes that are
    /// damaged.
    pub(in crate::exporter) fn lock(
        path: &Path,
        size: u64,
        unreadable: Counter,
    ) -> Result<Self, OpenError> {
        let lock_path = path.join("lock");
        let lock = fs::create_dir_all(path)
            .and_then(|()| File::create(&lock_path))
            .map_err(io_error(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                segment_size: (size / SEGMENTS).clamp(SMALLEST_SEGMENT, LARGEST_SEGMENT),
                unreadable,
                lock,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
                folder: path.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(OpenError::Io {
                path: lock_path,
                source,
            }),
        }
    }

    /// The lane of `signal` and how much is in it.
    pub(in crate::exporter::queue) fn open(
        &self,
        signal: Signal,
    ) -> Result<(Log, Found), OpenError> {
        let folder = self.path.join(signal.name());
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        let position_path = folder.join("position");
        let (position_file, position) =
            PositionFile::open(&position_path).map_err(io_error(&position_path))?;
        // Without a position everything there is goes again.
        let Position { head, outstanding } = position.unwrap_or_default();
        let files = segment::list(&folder).map_err(io_error(&folder))?;
        let last = files.keys().next_back().copied().unwrap_or(0);
        let next = last.max(head.segment) + 1;
        let mut opened = Opened {
            signal,
            unreadable: &self.unreadable,
            head,
            segments: Segments::new(folder, self.segment_size, next),
            again: VecDeque::new(),
            found: Found::default(),
        };
        for (number, path) in files {
            let outstanding = outstanding.iter().filter(|span| span.segment == number);
            opened
                .segment(number, &path, outstanding.copied())
                .map_err(io_error(&path))?;
        }
        let Opened {
            segments,
            again,
            found,
            ..
        } = opened;
        let log = Log {
            signal,
            unreadable: self.unreadable.clone(),
            unread: AtomicU64::new(found.amount.bytes),
            state: Mutex::new(State {
                segments,
                again,
                head,
                in_flight: Vec::new(),
                position: position_file,
                closed: false,
            }),
        };
        Ok((log, found))
    }

    /// Another exporter may use the folder from now on.
    pub(in crate::exporter) fn unlock(&self) -> io::Result<()> {
        self.lock.unlock()
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io {
        path: path.to_owned(),
        source,
    }
}

struct Opened<'a> {
    signal: Signal,
    unreadable: &'a Counter,
    head: Place,
    segments: Segments,
    again: VecDeque<(Span, Amount)>,
    found: Found,
}

impl Opened<'_> {
    /// Keeps what is not delivered of a file, and removes the file if that is nothing.
    fn segment(
        &mut self,
        number: u64,
        path: &Path,
        outstanding: impl Iterator<Item = Span>,
    ) -> io::Result<()> {
        let segment = Segment::open(path.to_owned())?;
        let length = segment.length()?;
        let start = match number.cmp(&self.head.segment) {
            std::cmp::Ordering::Less => length,
            std::cmp::Ordering::Equal => self.head.offset.min(length),
            std::cmp::Ordering::Greater => 0,
        };
        let mut again = Vec::new();
        for span in outstanding {
            let end = span.end.min(length);
            if span.start < end {
                let found = self.scan(&segment, span.start, end);
                again.push((
                    Span {
                        end: found.1,
                        ..span
                    },
                    found.0,
                ));
            }
        }
        let (unread, end) = self.scan(&segment, start, length);
        let is_needed = unread.cost > 0 || again.iter().any(|(span, _)| span.len() > 0);
        if !is_needed {
            segment.remove();
            return Ok(());
        }
        self.segments.keep(number, segment, end, unread);
        self.add(unread);
        for (span, found) in again.into_iter().filter(|(span, _)| span.len() > 0) {
            self.segments.outstanding(number, found.cost);
            self.again.push_back((span, found.amount));
            self.add(found);
        }
        Ok(())
    }

    fn scan(&self, segment: &Segment, start: u64, end: u64) -> (Found, u64) {
        let (found, whole, damage) = segment.scan(self.signal, start, end);
        if let Some(damage) = damage {
            self.unreadable.increment(end - whole);
            report(segment, whole, end - whole, &damage);
        }
        (found, whole)
    }

    fn add(&mut self, found: Found) {
        self.found.amount.add(found.amount);
        self.found.cost += found.cost;
    }
}
