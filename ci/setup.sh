#!/usr/bin/env bash
# Installs what is missing, says what and why, and leaves alone what is there.
#   setup.sh           what building and running need
#   setup.sh test      also what the tests across processes need
#   setup.sh kernels   also what booting other kernels needs
#   setup.sh lint      also what the lints need
#   setup.sh fuzz      also what fuzzing needs
. "$(dirname "$0")/lib.sh"

bpf_linker_version=0.13.0
cargo_deny_version=0.20.2
cargo_fuzz_version=0.13.2
# The LLVM releases that this bpf-linker can be built with.
bpf_linker_llvms='21 22 23'

package_is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# apt_install WHY PACKAGE...: the missing ones among the packages.
apt_install() {
    local why=$1 package missing=()
    shift
    for package in "$@"; do
        package_is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    local command=(apt-get install -y --no-install-recommends "${missing[@]}")
    has apt-get || die "$why: not found, and this is no Debian system. Install by hand what these Debian packages hold: ${missing[*]}"
    [ "$(id -u)" = 0 ] || die "$why: missing. As root, run: ${command[*]}"
    say "installing ${missing[*]} ($why)"
    update_package_lists
    local output
    output=$(DEBIAN_FRONTEND=noninteractive "${command[@]}" 2>&1) || {
        printf '%s\n' "$output" >&2
        die "\`${command[*]}\` failed"
    }
}

update_package_lists() {
    [ -z "${lists_are_fresh:-}" ] || return 0
    say 'reading the package lists'
    apt-get update >/dev/null || say 'warning: apt-get update failed; going on with the lists at hand'
    lists_are_fresh=1
}

# apt_command COMMAND PACKAGE WHY: the package, unless the command is there already.
apt_command() {
    has "$1" || apt_install "$3" "$2"
}

setup_rust() {
    has cargo || die 'cargo is missing. Install Rust from https://rustup.rs (stable, 1.95 or later)'
    apt_command cc gcc 'cc, the linker that cargo calls'
    [ -e /usr/include/stdlib.h ] || ! has dpkg-query || apt_install 'headers of the C library' libc6-dev
    apt_command curl curl 'curl, to ask the gateway whether it is ready'
}

setup_ebpf_compiler() {
    local wanted=${WEIR_EBPF_TOOLCHAIN:-}
    case $wanted in
        '' | debian | nightly) ;;
        *) die "WEIR_EBPF_TOOLCHAIN is \`$wanted\`; it can be \`debian\` or \`nightly\`" ;;
    esac
    if ! ebpf_world >/dev/null && [ "$wanted" != nightly ]; then
        has apt-get || die 'no compiler for the eBPF programs: run `rustup toolchain install nightly --component rust-src`'
        apt_install 'a Rust compiler with the sources of core, for the eBPF programs' rustc-web rust-web-src
    fi
    world=$(ebpf_world) || case $wanted in
        nightly) die 'the nightly toolchain or its sources are missing: run `rustup toolchain install nightly --component rust-src`' ;;
        *) die 'the Debian packages rustc-web and rust-web-src brought no usable compiler (/usr/bin/rustc with the sources of core); with rustup, use `rustup toolchain install nightly --component rust-src` and WEIR_EBPF_TOOLCHAIN=nightly' ;;
    esac
}

# The LLVM that the chosen compiler writes; the linker must read the same.
llvm_of_compiler() {
    local version
    case $world in
        debian) version=$(/usr/bin/rustc -vV) ;;
        nightly) version=$(rustup run nightly rustc -vV) ;;
    esac
    sed -n 's/^LLVM version: \([0-9]*\).*/\1/p' <<<"$version"
}

bpf_linker_is_ready() {
    [ -x "$tools/bin/bpf-linker" ] || return 1
    [ "$("$tools/bin/bpf-linker" --version 2>/dev/null)" = "bpf-linker $bpf_linker_version" ] || return 1
    # A linker built for another compiler's LLVM cannot read its bitcode.
    [[ $(ldd "$tools/bin/bpf-linker") =~ libLLVM[^[:space:]]*[.-]$llvm ]]
}

setup_bpf_linker() {
    llvm=$(llvm_of_compiler)
    ! bpf_linker_is_ready || return 0
    case " $bpf_linker_llvms " in
        *" $llvm "*) ;;
        *) die "the $world compiler uses LLVM $llvm; bpf-linker $bpf_linker_version knows only $bpf_linker_llvms. Choose the other one with WEIR_EBPF_TOOLCHAIN=debian or nightly" ;;
    esac
    if [ -z "${LLVM_PREFIX:-}" ]; then
        apt_install "LLVM $llvm and its libraries, to build bpf-linker" \
            "llvm-$llvm-dev" "libpolly-$llvm-dev" libzstd-dev zlib1g-dev
        export LLVM_PREFIX=/usr/lib/llvm-$llvm
    fi
    apt_command c++ g++ 'the C++ library that LLVM needs'
    say "building bpf-linker $bpf_linker_version in $tools (links the eBPF programs; about two minutes)"
    cargo install bpf-linker --quiet --locked --force --version "$bpf_linker_version" --root "$tools" \
        --no-default-features --features "llvm-$llvm" --target-dir "$CARGO_TARGET_DIR/tools-build" \
        || die 'bpf-linker could not be built'
    rm -rf "$CARGO_TARGET_DIR/tools-build"
}

# Debian starts a packaged server at once and at every boot, on a port that
# the user may need; only the programs are wanted.
# install_without_starting_it COMMAND PACKAGE WHY
install_without_starting_it() {
    ! has "$1" || return 0
    local policy=/usr/sbin/policy-rc.d made_policy=''
    if [ "$(id -u)" = 0 ] && [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        made_policy=1
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt_install "$3" "$2"
    if [ -n "$made_policy" ]; then
        rm -f $policy
        trap - EXIT
    fi
    if [ -d /run/systemd/system ]; then
        systemctl disable --quiet "$2" || say "warning: $2.service could not be disabled"
    fi
}

setup_test() {
    install_without_starting_it promtool prometheus 'Prometheus and promtool: the tests scrape the gateway with the real one'
    apt_command python3 python3 'python3: reads OpenMetrics with the parser of Prometheus'
    /usr/bin/python3 -c 'import prometheus_client.openmetrics.parser' 2>/dev/null \
        || apt_install 'the Python client of Prometheus: the tests read the gateway with its strict parser' python3-prometheus-client
    apt_command ip iproute2 'ip, ss and nstat: the tests make network namespaces and ask the kernel for its own counts'
    apt_command nft nftables 'nft: the tests lose packets on purpose'
    apt_command nginx nginx-light 'nginx: its log is what our counts of HTTP are compared with'
    apt_command apache2 apache2-bin 'Apache: another server whose log our counts of HTTP are compared with'
    apt_command openssl openssl 'openssl: makes the certificates of servers that speak TLS'
    [ -x /usr/lib/go-1.19/bin/go ] || apt_install 'an older Go: its programs are read above TLS too' golang-1.19-go
    apt_command wrk wrk 'wrk: asks it over HTTP/1'
    apt_command h2load nghttp2-client 'h2load: asks it over HTTP/2'
    # Of the servers only the programs: what a Debian package starts would hold port 53.
    apt_command dnsmasq dnsmasq-base 'dnsmasq: a name server of the tests of DNS'
    apt_command dig bind9-dnsutils 'dig: asks name servers in the tests of DNS'
    apt_command dnsperf dnsperf 'dnsperf: its own counts of DNS are compared with ours'
    install_without_starting_it unbound unbound 'unbound: a name server of the tests of DNS'
    install_without_starting_it named bind9 'named: its log of queries is what our counts of DNS are compared with'
    apt_command drill ldnsutils 'drill: another client of the tests of DNS'
    apt_command iperf3 iperf3 'iperf3: its own counts of UDP are compared with ours'
}

# The SDKs themselves come from their own registries, when a story first needs them.
setup_sdks() {
    apt_command python3 python3 'python3: the Python SDK of OpenTelemetry'
    python3 -c 'import ensurepip, venv' 2>/dev/null \
        || apt_install 'venv: the Python SDK goes into an environment of its own' python3-venv
    apt_command npm npm 'node and npm: the Node SDK of OpenTelemetry'
    apt_command javac default-jdk-headless 'a JDK: the Java SDK of OpenTelemetry'
    apt_command mvn maven 'maven: fetches the Java SDK'
    # Debian 12 has a Go that is too old for the SDK.
    has go || die 'go is missing: the stories drive the Go SDK of OpenTelemetry. Install Go 1.25 or later from https://go.dev/dl'
}

setup_kernels() {
    has apt-get || die 'the kernels are Debian packages: this needs a Debian system'
    apt_install "keys of Debian's archive, which signs the kernels" debian-archive-keyring
    apt_command qemu-system-x86_64 qemu-system-x86 'QEMU: runs the kernels on an emulated CPU'
    apt_command cpio cpio 'cpio: packs the initramfs'
    apt_command depmod kmod 'depmod: finds which module needs which'
    apt_command xz xz-utils 'xz: unpacks the modules'
    apt_install 'busybox without libraries: the shell of the initramfs' busybox-static
    apt_command ip iproute2 'ip: the checks make network namespaces'
    apt_command nft nftables 'nft: the checks lose packets on purpose'
}

setup_lint() {
    cargo fmt --version >/dev/null 2>&1 || die 'rustfmt is missing: run `rustup component add rustfmt`'
    cargo clippy --version >/dev/null 2>&1 || die 'clippy is missing: run `rustup component add clippy`'
    apt_command shellcheck shellcheck 'shellcheck: the lint of the scripts'
    if [ "$world" = debian ] && [ ! -x /usr/bin/clippy-driver ]; then
        apt_install 'clippy of the compiler that builds the eBPF programs' rust-web-clippy
    fi
    cargo_tool cargo-deny "$cargo_deny_version" 'checks licences and origins of dependencies'
}

# cargo_tool NAME VERSION WHY: a program for cargo, unless that version is there already.
cargo_tool() {
    [ "$("$1" --version 2>/dev/null)" != "$1 $2" ] || return 0
    say "building $1 $2 in $tools ($3; about a minute)"
    # Unoptimised: it runs for a second, and an optimised build takes many times longer.
    cargo install "$1" --quiet --locked --force --version "$2" --root "$tools" \
        --profile dev --config profile.dev.debug=false --target-dir "$CARGO_TARGET_DIR/tools-build" \
        || die "$1 could not be built"
    rm -rf "$CARGO_TARGET_DIR/tools-build"
}

setup_fuzz() {
    apt_command c++ g++ 'c++: libFuzzer, which the fuzz targets are linked with, is C++'
    cargo_tool cargo-fuzz "$cargo_fuzz_version" 'builds the fuzz targets'
}

setup_rust
setup_ebpf_compiler
setup_bpf_linker
case ${1:-} in
    '') ;;
    test)
        setup_test
        setup_sdks
        ;;
    kernels) setup_kernels ;;
    lint) setup_lint ;;
    fuzz) setup_fuzz ;;
    geoip) apt_command npm npm 'npm: fetches the database of places' ;;
    *) die "unknown: \`$1\`; it can be \`test\`, \`kernels\`, \`lint\`, \`fuzz\` or \`geoip\`" ;;
esac
