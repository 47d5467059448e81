#!/usr/bin/env bash
# Everything that tools can check without running the programs.
. "$(dirname "$0")/lib.sh"

# Lints the eBPF programs with the clippy of the compiler that builds them.
lint_ebpf() {
    local flags=(--release --package weir-ebpf-programs --target bpfel-unknown-none
        -Z build-std=core --target-dir "$CARGO_TARGET_DIR/ebpf-lint")
    local arch
    arch=$(uname -m)
    export RUSTC_BOOTSTRAP=1
    CARGO_ENCODED_RUSTFLAGS=$(printf -- '--cfg=bpf_target_arch="%s"' "$arch")
    export CARGO_ENCODED_RUSTFLAGS
    case $(ebpf_world) in
        debian)
            # As `cargo clippy` does it; rustup's clippy belongs to another compiler.
            RUSTC=/usr/bin/rustc RUSTC_WORKSPACE_WRAPPER=/usr/bin/clippy-driver CLIPPY_ARGS='-Dwarnings' \
                cargo check "${flags[@]}"
            ;;
        nightly) rustup run nightly cargo clippy "${flags[@]}" -- -D warnings ;;
    esac
}

# Known vulnerabilities need a database that may be out of reach; all else is checked offline.
check_dependencies() {
    cargo deny --offline --log-level error check --hide-inclusion-graph licenses bans sources
    cargo deny --offline --log-level error --manifest-path fuzz/Cargo.toml check --hide-inclusion-graph licenses bans sources
    if cargo deny --log-level off fetch db >/dev/null 2>&1; then
        cargo deny --log-level error check --hide-inclusion-graph advisories
    else
        say 'warning: advisories NOT checked, their database cannot be reached'
    fi
}

ci/setup.sh lint
say 'Cargo.lock is up to date'
cargo metadata --locked --format-version 1 >/dev/null
cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
say 'format'
cargo fmt --all --check
cargo fmt --manifest-path fuzz/Cargo.toml --check
say 'scripts'
shellcheck -x ci/*.sh ci/kernels/* .ci/run
say 'structure'
ci/check-structure.sh
say 'clippy'
cargo clippy --all-targets -- -D warnings
cargo clippy -p weir-integration --all-targets -- -D warnings
cargo clippy --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings
say 'clippy, eBPF programs'
(lint_ebpf)
say 'eBPF programs for aarch64'
WEIR_EBPF_ARCH=aarch64 ci/ebpf.sh
say 'dependencies'
check_dependencies
