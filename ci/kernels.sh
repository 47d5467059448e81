#!/usr/bin/env bash
# The agent on other kernels than this machine's: boots Debian's in QEMU, runs the same checks in each, and
# compares which hooks they took with docs/kernels.md.
#   kernels.sh             all four
#   kernels.sh 5.10 6.1    only these; the document is not compared
. "$(dirname "$0")/lib.sh"

all=(5.10 6.1 6.12 newest)
store=$CARGO_TARGET_DIR/kernels
triple=x86_64-unknown-linux-gnu
programs=$CARGO_TARGET_DIR/$triple/guest

[ "$(uname -m)" = x86_64 ] || die 'the kernels are x86_64, and so must this machine be'
[ "$(id -u)" = 0 ] || die 'the checks load eBPF programs, first on this machine: run as root'

# Static, so that the virtual machines need no libraries of ours.
build() {
    local program arguments=()
    for program in weir-agent weir-gateway weir weir-traffic weir-kernel-check; do
        arguments+=(--bin "$program")
    done
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --profile guest --target $triple \
        -p weir-agent -p weir-gateway -p weir-cli -p weir-integration "${arguments[@]}"
}

# Boots two at a time: an emulated CPU keeps a core busy.
boot_all() {
    local version failed=0 running=0
    for version in "$@"; do
        if [ $running = 2 ]; then
            wait -n || failed=1
            running=1
        fi
        ci/kernels/boot.sh "$version" &
        running=$((running + 1))
    done
    while [ $running -gt 0 ]; do
        wait -n || failed=1
        running=$((running - 1))
    done
    return $failed
}

ci/setup.sh kernels
ci/ebpf.sh
build
# What fails here needs no other kernel to be looked at.
say "checks on this machine's kernel"
"$programs/weir-kernel-check" check --here || die "the checks fail on this machine's kernel"

series=("${@:-${all[@]}}")
compare=()
[ $# -gt 0 ] || compare=(--document docs/kernels.md)
versions=()
columns=()
ci/kernels/fetch.sh lists
for one in "${series[@]}"; do
    version=$(ci/kernels/fetch.sh "$one")
    versions+=("$version")
    columns+=("$one=$store/$version/results")
done
ci/kernels/initramfs.sh "$programs" "${versions[@]}"
say "booting ${versions[*]}"
booted=yes
boot_all "${versions[@]}" || booted=no
status=0
"$programs/weir-kernel-check" table "${columns[@]}" "${compare[@]}" >"$store/table.md" || status=$?
cat "$store/table.md"
for version in "${versions[@]}"; do
    # A failed case with its detail, up to the next one.
    awk -v of="$version" '/^FAIL / { on = 1; print of ": " $0; next } /^ / { if (on) print; next } { on = 0 }' \
        "$store/$version/results" >&2
done
[ $booted = yes ] || die 'a kernel did not come to the end of its checks'
[ $status = 0 ] || die 'a case failed, or the tables are not those of docs/kernels.md (if that is meant, put those of target/kernels/table.md there)'
