//! An endpoint, requests to forward, and an exporter between them.

mod requests;
mod sink;
mod start;

use std::time::Duration;

pub(crate) use self::{
    requests::{batch, batch_of_size, batch_with_id, names},
    sink::{Answer, Front, Sink, TlsFiles, nobody},
    start::{Running, config, start},
};

pub(crate) use weir_point::otlp::Signal;

pub(crate) const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Wait until the condition holds; panics with it when it never does.
macro_rules! eventually {
    ($condition:expr) => {
        let deadline = std::time::Instant::now() + $crate::support::PATIENCE;
        while !$condition {
            assert!(
                std::time::Instant::now() < deadline,
                "never: {}",
                stringify!($condition)
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
}
pub(crate) use eventually;
