//! The httpflow collector: every HTTP request of this node, counted and timed.
//!
//! [`Tracker`] makes requests with their answers of the pieces of streams that the kernel hands on; [`Rows`] merges them
//! into rows; [`Spans`] makes spans of some.

mod collector;
mod connection;
mod context;
mod counted;
mod exchange;
mod head;
mod hello;
mod http1;
mod http2;
mod message;
mod paths;
mod privacy;
mod rows;
mod span;
mod stream;
mod tally;
mod tracker;
#[cfg(test)]
mod wire;

pub use weir_ebpf_common::http::{Piece, flag, protocol};

pub use self::{
    collector::{Running, Shared, StartError, kernel_settings},
    exchange::{Ends, Exchange, Outcome, Output, Reason, ServerName},
    message::{Request, TraceParent, Version},
    privacy::Redaction,
    rows::{Budget, Rows},
    span::Spans,
    tally::Tally,
    tracker::{Settings, Tracker},
};
