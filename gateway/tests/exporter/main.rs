//! What an endpoint gets from an exporter, and what the exporter says about itself.

mod answers;
mod death;
mod delivery;
mod disk;
mod queue;
mod support;
mod tls;
