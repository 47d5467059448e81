#!/usr/bin/env bash
# What weir costs: connections and throughput with and without it, CPU and memory.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || die 'the agent loads eBPF programs: run as root'

ci/setup.sh
ci/ebpf.sh
cargo build --release -p weir-agent -p weir-gateway -p weir-cli
cargo run --release -p weir-integration --bin weir-bench

# The peer: an OpenTelemetry gateway in Rust, as its makers publish it.
rotel=$tools/rotel-0.0.1a15
if [ ! -x "$rotel/rotel/rotel-agent" ]; then
    say 'fetching rotel 0.0.1a15 from PyPI (the peer that OTLP is compared with)'
    python3 -m pip download --quiet --no-deps --dest "$rotel" rotel==0.0.1a15
    python3 -m zipfile -e "$rotel"/rotel-*.whl "$rotel"
    chmod +x "$rotel/rotel/rotel-agent"
fi
WEIR_BENCH_ROTEL=$rotel/rotel/rotel-agent cargo run --release -p weir-integration --bin weir-otlp-bench

# Scripts: what a program costs per Point, and what it looks up.
ci/geoip.sh
cargo bench -p weir-script
