//! What Prometheus gets from metrics that came over OTLP.

mod budget;
mod histograms;
mod hostile;
mod names;
mod numbers;
mod support;
