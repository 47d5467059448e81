//! How each weir process starts, reports and stops.

pub mod backoff;
pub mod config;
pub mod listen;
pub mod logging;
pub mod reload;
pub mod stop;
pub mod telemetry;
