#!/usr/bin/env bash
# What weir costs: connections and throughput with and without it, CPU and memory.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || die 'the agent loads eBPF programs: run as root'

ci/setup.sh
ci/ebpf.sh
cargo build --release -p weir-agent -p weir-gateway -p weir-cli
cargo run --release -p weir-integration --bin weir-bench
