//! What agents and users get from a running gateway, over its real ports.

mod documentation;
mod intake;
mod otlp;
mod points;
mod prometheus;
mod stop;
mod subscription;
mod support;
