//! What clients of each transport see, and what the consumer gets.

mod configuration;
mod grpc;
mod hostile;
mod http;
mod json;
mod limits;
mod partial;
mod security;
mod stop;
mod support;
