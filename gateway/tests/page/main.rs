//! The page as others read it: Prometheus itself, and the parser of its Python client.

mod exemplars;
mod formats;
mod native;
mod requests;
mod spans;
mod support;
