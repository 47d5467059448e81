#!/usr/bin/env bash
# All tests: those of each crate, then the stories across processes on this host's kernel.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || die 'the stories load eBPF programs and make network namespaces: run as root. `cargo test` runs all other tests as any user'

ci/setup.sh test
ci/ebpf.sh
# Tests ask the real database where addresses are.
ci/geoip.sh
cargo test
# The stories start these programs from target/debug.
cargo build -p weir-agent -p weir-gateway -p weir-cli
cargo test -p weir-integration
