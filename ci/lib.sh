# shellcheck shell=bash
# What every script here starts from: the place, the target folder, and how to speak.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Programs are looked for in target/, whatever the caller's own setting is.
CARGO_TARGET_DIR=$PWD/target
export CARGO_TARGET_DIR
tools=$CARGO_TARGET_DIR/tools
export PATH="$tools/bin:$PATH"

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# Which compiler builds the eBPF programs. `core` is compiled for the BPF target,
# so a compiler counts only together with the sources of its own `core`.
#   debian   /usr/bin/rustc of rustc-web, sources of rust-web-src
#   nightly  rustup's nightly, sources of its rust-src component
debian_is_ready() {
    [ -x /usr/bin/rustc ] && [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library" ]
}

nightly_is_ready() {
    local sysroot
    has rustup && sysroot=$(RUSTUP_AUTO_INSTALL=0 rustup run nightly rustc --print sysroot 2>/dev/null) \
        && [ -d "$sysroot/lib/rustlib/src/rust/library" ]
}

# Prints the world to use; fails if none is ready.
ebpf_world() {
    case ${WEIR_EBPF_TOOLCHAIN:-} in
        debian) debian_is_ready && echo debian ;;
        nightly) nightly_is_ready && echo nightly ;;
        '') if debian_is_ready; then echo debian; else nightly_is_ready && echo nightly; fi ;;
        *) return 1 ;;
    esac
}
