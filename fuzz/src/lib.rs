//! What several fuzz targets need.

pub mod input;
pub mod page;
pub mod stream;

use weir_point::otlp::Signal;

/// The signal that a byte chooses.
#[must_use]
pub fn signal(choice: u8) -> Signal {
    match choice % 3 {
        0 => Signal::Traces,
        1 => Signal::Metrics,
        _ => Signal::Logs,
    }
}
