//! OTLP requests as bytes, against what prost makes of them.

mod anew;
mod check;
mod edit;
mod generate;
mod judge;
mod limits;
mod metrics;
mod points;
mod readers;
