//! What agents and users get from a running gateway, over its real ports.

mod documentation;
mod flow_export;
mod golden;
mod intake;
mod live;
mod points;
mod prometheus;
mod requests;
mod stop;
mod subscription;
mod support;
mod telemetry;
