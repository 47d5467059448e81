//! A queue by itself, read to its end, for the fuzz target.

use std::path::Path;

use bytes::Bytes;
use metrics::Counter;
use weir_point::otlp::Signal;

use super::{Folder, OpenError, Read};

/// What was in a queue; sizes are bytes of requests.
#[derive(Debug, Default)]
pub struct Drained {
    /// Found when it was opened.
    pub found: u64,
    /// In [`Self::pieces`].
    pub delivered: u64,
    /// Damaged, and skipped.
    pub lost: u64,
    /// The requests, in the order of their delivery.
    pub pieces: Vec<Bytes>,
}

/// Reads what waits in the queue at `path`, up to `most` bytes at a time, and settles it.
///
/// # Errors
/// As for an exporter that starts.
pub fn drain_queue(path: &Path, signal: Signal, most: u64) -> Result<Drained, OpenError> {
    let folder = Folder::lock(path, 0, Counter::noop())?;
    let (log, found) = folder.open(signal)?;
    let mut drained = Drained {
        found: found.amount.bytes,
        ..Drained::default()
    };
    while let Some(Read { taken, unreadable }) = log.take(most) {
        drained.delivered += taken.amount.bytes;
        drained.lost += unreadable.bytes;
        drained.pieces.extend(taken.pieces);
        log.settle(taken.span);
    }
    Ok(drained)
}
