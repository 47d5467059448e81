//! Who gets what was received.

use std::{borrow::Cow, time::Duration};

use weir_point::otlp::OtlpBatch;

/// Takes batches.
pub trait Consumer: Send + Sync + 'static {
    /// Takes `batch` for good, all or a part of it, or says why not. The client is told that the batch arrived only after
    /// this has returned. It runs on the thread that serves the connection, so it must not block for longer
    /// than a write to a disk takes.
    ///
    /// # Errors
    /// It cannot take the batch now, or not any more.
    fn consume(&self, batch: OtlpBatch) -> Result<Taken, Refused>;
}

/// How much of a batch was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Spans, data points or log records that were not taken and must not be sent again.
    pub rejected: u64,
    /// Why, for the client; empty if all was taken.
    pub message: Cow<'static, str>,
}

impl Taken {
    /// All of it.
    pub const ALL: Self = Self {
        rejected: 0,
        message: Cow::Borrowed(""),
    };
}

/// Why a batch was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no room at the moment.
    Full {
        /// When the client should try again.
        retry_after: Duration,
    },
    /// The process is stopping.
    Stopping,
}
