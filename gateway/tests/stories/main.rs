//! What agents and users get from a running gateway, over its real ports.

mod budget;
mod documentation;
mod flow_export;
mod golden;
mod intake;
mod live;
mod points;
mod prometheus;
mod requests;
mod scripts;
mod stop;
mod subscription;
mod support;
mod telemetry;
