# The scripts in ci/ hold the logic; each says what it does at its top.

.PHONY: help setup ebpf build run test test-kernels lint fuzz bench geoip clean

help:
	@echo 'make setup         install what is missing to build, and say what and why'
	@echo 'make run           build, and run a gateway and an agent on this machine'
	@echo 'make build         the release programs, in target/release'
	@echo 'make ebpf          only the eBPF programs, which the agent embeds'
	@echo 'make test          all tests (root)'
	@echo 'make test-kernels  the agent on Linux 5.10, 6.1, 6.12 and the newest, in QEMU (root)'
	@echo 'make lint          format, lints, dependencies, structure'
	@echo 'make fuzz          every decoder with changed input, 20 s each; SECONDS=180 for longer'
	@echo 'make geoip         a database of places of addresses, for the gateway'
	@echo 'make bench         what weir costs (root)'
	@echo 'make clean         remove what was built, but keep installed tools'

setup:
	@ci/setup.sh

ebpf: setup
	@ci/ebpf.sh

build: ebpf
	cargo build --release -p weir-gateway -p weir-agent -p weir-cli

run:
	@ci/run-local.sh

test:
	@ci/test.sh

test-kernels:
	@ci/kernels.sh

lint:
	@ci/lint.sh

fuzz:
	@ci/fuzz.sh $(SECONDS)

bench:
	@ci/bench.sh

geoip:
	@ci/geoip.sh $(DEST)

clean:
	@ci/clean.sh
