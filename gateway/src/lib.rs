//! The gateway: takes flow events from agents, holds them as Points and hands them to
//! every output.
//!
//! The data path is [`intake`], then [`scripts`], then [`fanout`], then [`prometheus`], [`flow_export`] and
//! [`subscription`]; [`gateway`] wires it.

pub mod agent_settings;
pub mod agents;
mod aggregate;
pub mod budget;
pub mod config;
pub mod exporter;
pub mod fanout;
pub mod flow_export;
pub mod gateway;
pub mod http_spans;
pub mod intake;
pub mod live;
pub mod lookups;
pub mod otlp_intake;
pub mod otlp_metrics;
pub mod page;
pub mod profile;
pub mod prometheus;
pub mod scripts;
pub mod self_metrics;
pub mod span_metrics;
pub mod subscription;

pub use self::{
    config::Config,
    gateway::{Gateway, RunningGateway, StartError},
};
