#!/usr/bin/env bash
# Builds the eBPF programs; the agent embeds target/ebpf/*.o at its next build.
# WEIR_EBPF_ARCH=aarch64 (or x86_64) builds them for agents of that architecture, if it is not this
# machine's in target/ebpf/aarch64/*.o.
. "$(dirname "$0")/lib.sh"

world=$(ebpf_world) || die 'no compiler for the eBPF programs; run `make setup`'
[ -x "$tools/bin/bpf-linker" ] || die 'bpf-linker is missing; run `make setup`'

arch=${WEIR_EBPF_ARCH:-$(uname -m)}
case $arch in
    x86_64 | aarch64) ;;
    *) die "no eBPF programs for $arch; x86_64 and aarch64 are known" ;;
esac

case $world in
    debian)
        export RUSTC=/usr/bin/rustc
        cargo=(cargo)
        ;;
    nightly) cargo=(rustup run nightly cargo) ;;
esac

# The kernel's loader needs BTF, which the linker makes from debug information.
# The Rust flags are separated by 0x1f.
CARGO_ENCODED_RUSTFLAGS=$(printf -- '--cfg=bpf_target_arch="%s"\x1f-Cdebuginfo=2\x1f-Clink-arg=--btf' "$arch")
export CARGO_ENCODED_RUSTFLAGS
# Building `core` is an unstable feature of cargo, and Debian's compiler is a stable one.
export RUSTC_BOOTSTRAP=1

# An architecture of its own has a folder of its own: the flags differ, and with them every object.
build=$CARGO_TARGET_DIR/ebpf-build
made=$CARGO_TARGET_DIR/ebpf
if [ "$arch" != "$(uname -m)" ]; then
    build+=/$arch
    made+=/$arch
fi
"${cargo[@]}" build --release --package weir-ebpf-programs --target bpfel-unknown-none \
    -Z build-std=core --target-dir "$build"

mkdir -p "$made"
found=
for object in "$build"/bpfel-unknown-none/release/*; do
    # Programs are files without an extension.
    case $(basename "$object") in *.*) continue ;; esac
    [ -f "$object" ] || continue
    found=1
    copy=$made/$(basename "$object").o
    # An object from unchanged sources keeps its time, so that the agent is not built again.
    if ! cmp -s "$object" "$copy"; then
        cp "$object" "$copy.new"
        mv "$copy.new" "$copy"
        say "made ${copy#"$PWD"/} ($(wc -c <"$copy") bytes)"
    elif [ -n "$(find ebpf -name '*.rs' -newer "$copy" -print -quit)" ]; then
        # The agent's build refuses an object that is older than its sources.
        touch "$copy"
    fi
done
[ -n "$found" ] || die 'the build left no program behind'
