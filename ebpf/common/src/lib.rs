//! What the eBPF programs and the agent agree on: records, kernel struct offsets, loss causes.
//!
//! One module per collector, named like its object in `ebpf/programs`. Everything that
//! crosses the boundary is a plain integer or an array of them, with its size asserted.

#![no_std]

pub mod http;
pub mod loss;
pub mod netflow;
pub mod offsets;
pub mod tls;
