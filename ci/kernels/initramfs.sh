#!/usr/bin/env bash
# Packs what a virtual machine boots into, as target/kernels/VERSION/initramfs: busybox, the programs of weir,
# a few tools of this machine with their libraries, and the modules of that kernel.
#   initramfs.sh PROGRAMS VERSION...    PROGRAMS is the folder of the static programs
. "$(dirname "$0")/../lib.sh"

store=$CARGO_TARGET_DIR/kernels
wanted_modules='inet_diag tcp_diag udp_diag veth bridge sch_ingress cls_bpf
    nf_tables nft_ct nft_numgen nft_chain_nat nft_nat nft_masq nf_conntrack_netlink'

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# Copies a program of this machine and every library that it loads, each to where it is here.
add_tool() {
    local file path
    path=$(command -v "$1") || die "$1 is missing; run ci/setup.sh kernels"
    for file in "$path" $(ldd "$path" | grep -oE '/[^ ]+'); do
        install -D "$file" "$root$file"
    done
}

pack() { (cd "$1" && find . | cpio --quiet -o -H newc | gzip -1); }

pack_programs() {
    local programs=$1 tool
    mkdir -p "$root"/{bin,dev,proc,run,sbin,sys,tmp,usr/bin,usr/sbin,var,weir}
    install "$(command -v busybox)" "$root/bin/busybox"
    for tool in $(busybox --list | grep -vxE 'busybox|ip|sh'); do ln -s busybox "$root/bin/$tool"; done
    # The shell is not busybox: that one would take its own `ip`, which knows no network namespaces.
    add_tool dash
    ln -s "$(command -v dash)" "$root/bin/sh"
    ln -s ../bin/busybox "$root/sbin/modprobe"
    ln -s ../run "$root/var/run"
    for tool in ip nft nstat; do add_tool $tool; done
    for tool in weir weir-agent weir-gateway weir-kernel-check weir-traffic; do
        install -s "$programs/$tool" "$root/weir/$tool"
    done
    install ci/kernels/init "$root/init"
    echo "$wanted_modules" >"$root/modules"
    pack "$root"
}

# The wanted modules and those that they need, unpacked: busybox knows no compression.
pack_modules() {
    local folder=$1 release module file files='' to
    release=$(cat "$folder/release")
    to=$(mktemp -d -p "$root")
    for module in $wanted_modules; do
        files+=$(modprobe -d "$folder" -S "$release" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p')$'\n'
    done
    while read -r file; do
        install -D -m 644 "$file" "$to/lib/modules/$release/$(basename "$file")"
    done < <(grep . <<<"$files" | sort -u)
    find "$to" -name '*.xz' -exec xz -d {} +
    cp "$folder/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$to/lib/modules/$release"
    depmod -b "$to" "$release"
    pack "$to"
}

programs=${1:?the folder of the static programs}
shift
pack_programs "$programs" >"$store/programs.cpio.gz"
rm -rf "${root:?}"/*
for version in "$@"; do
    # An initramfs may be several archives, one after the other.
    { cat "$store/programs.cpio.gz"; pack_modules "$store/$version"; } >"$store/$version/initramfs"
done
