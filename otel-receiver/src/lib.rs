//! OTLP in: gRPC and HTTP, protobuf and JSON.

mod answer;
mod body;
mod budget;
pub mod config;
mod connection;
mod consumer;
mod exchange;
#[doc(hidden)]
pub mod fuzz;
mod grpc;
mod http;
mod intake;
mod json;
mod listener;
mod meter;
mod partial;
mod receiver;
mod refusal;
mod tls;

pub use self::{
    config::Config,
    consumer::{Consumer, Refused, Taken},
    meter::{Cause, Certificates, ConnectionEvent, Exchange, Meter, Outcome, Transport},
    receiver::{Receiver, Running, StartError},
    tls::TlsError,
};
