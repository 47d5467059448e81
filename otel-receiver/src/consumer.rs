//! Who gets what was received.

use std::time::Duration;

use weir_point::otlp::OtlpBatch;

/// Takes batches.
pub trait Consumer: Send + Sync + 'static {
    /// Takes `batch` for good, or says why not. The client is told that the batch arrived only after
    /// this has returned. It runs on the thread that serves the connection, so it must not block for longer
    /// than a write to a disk takes.
    ///
    /// # Errors
    /// It cannot take the batch now, or not any more.
    fn consume(&self, batch: OtlpBatch) -> Result<(), Refused>;
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
