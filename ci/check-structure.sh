#!/usr/bin/env bash
# What no compiler or lint checks: which way dependencies point, sizes, names, leaks.
. "$(dirname "$0")/lib.sh"

failures=0
fail() {
    say "$*"
    failures=$((failures + 1))
}

# Files of the repository, also those not committed yet.
files() {
    if git rev-parse --git-dir >/dev/null 2>&1; then
        # A file that is deleted but not committed yet is still listed.
        git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
            [ ! -f "$file" ] || echo "$file"
        done
    else
        local pattern names=()
        for pattern in "$@"; do names+=(-o -name "${pattern##*/}"); done
        find . -path ./target -prune -o -type f \( "${names[@]:1}" \) -print | sed 's|^\./||'
    fi
}

# CRATE: the crates of ours it may depend on. Dependencies run one way.
allowed='
weir-proto:
weir-point:
weir-route:
weir-runtime:
weir-script: weir-point weir-route
weir-ebpf-common:
weir-ebpf-programs: weir-ebpf-common
weir-otel-receiver: weir-point weir-runtime
weir-agent: weir-ebpf-common weir-proto weir-route weir-runtime
weir-gateway: weir-otel-receiver weir-point weir-proto weir-route weir-runtime weir-script
weir-cli: weir-point weir-proto weir-runtime weir-script
weir-integration: weir-agent weir-cli weir-ebpf-common weir-gateway weir-otel-receiver weir-point weir-proto weir-runtime weir-script
weir-fuzz: weir-agent weir-gateway weir-otel-receiver weir-point weir-proto weir-route weir-runtime weir-script
'

members() { cargo tree --workspace --depth 0 --prefix none --format '{p}' | awk 'NF { print $1 }' | sort -u; }

check_dependency_directions() {
    local crate
    for crate in $(members); do
        check_direction_of "$crate" Cargo.toml
    done
    check_direction_of weir-fuzz fuzz/Cargo.toml
}

# check_direction_of CRATE MANIFEST
check_direction_of() {
    local crate=$1 line direct dependency
    line=$(grep "^$crate:" <<<"$allowed") || {
        fail "$crate: not in the table of allowed dependencies (ci/check-structure.sh)"
        return 0
    }
    direct=$(cargo tree --manifest-path "$2" -p "$crate" --depth 1 --edges all --all-features --target all \
        --prefix none --format '{p}' | awk -v self="$crate" '/^weir-/ && $1 != self { print $1 }' | sort -u)
    for dependency in $direct; do
        case " ${line#*:} " in
            *" $dependency "*) ;;
            *) fail "$crate: must not depend on $dependency" ;;
        esac
    done
}

check_dependencies_shared_by_all() {
    local found
    found=$(cargo tree --workspace --edges all --all-features --target all --prefix none --format '{p}' \
        | awk '$1 ~ /^(openssl|openssl-sys|native-tls|aws-lc-rs|aws-lc-sys|aws-lc-fips-sys)$/ { print $1 }' | sort -u)
    [ -z "$found" ] || fail "forbidden dependencies: $(tr '\n' ' ' <<<"$found")"
}

check_manifests() {
    local manifests manifest
    manifests=$(files 'Cargo.toml' '*/Cargo.toml')
    while read -r manifest; do
        grep -q '^\[package\]' "$manifest" || continue
        awk '/^\[/ { inside = ($0 == "[lints]") } inside && /^workspace = true$/ { found = 1 } END { exit !found }' "$manifest" \
            || fail "$manifest: does not inherit the lints ([lints] workspace = true)"
        grep -q '^license' "$manifest" || fail "$manifest: names no licence"
    done <<<"$manifests"
}

check_rust_files() {
    local sources file lines limit
    sources=$(files '*.rs')
    while read -r file; do
        case $file in
            */mod.rs | mod.rs) fail "$file: a module is \`name.rs\` beside \`name/\`, never mod.rs" ;;
        esac
        case $file in
            */tests/* | */tests.rs) limit=600 ;;
            *) limit=400 ;;
        esac
        lines=$(wc -l <"$file")
        [ "$lines" -le $limit ] || fail "$file: $lines lines; the limit is $limit"
    done <<<"$sources"
}

# locked FILE: name and version of what a lock file names.
locked() { awk '/^name = / { name = $3 } /^version = / { print name, $3 }' "$1" | sort -u; }

# lints FILE: the tables of lints in a manifest.
lints() { awk '/^\[/ { inside = /^\[workspace\.lints/ } inside && NF && !/^#/' "$1"; }

# What is fuzzed is what is shipped, under the same rules, and small.
check_fuzz_package() {
    local other large
    other=$(join -j 1 <(locked Cargo.lock | cut -d ' ' -f 1 | sort -u) <(comm -13 <(locked Cargo.lock) <(locked fuzz/Cargo.lock)))
    [ -z "$other" ] || fail "fuzz/Cargo.lock: other versions than in Cargo.lock; make it anew with \
\`cp Cargo.lock fuzz/ && cargo metadata --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null\`:"$'\n'"$other"
    [ "$(lints Cargo.toml)" = "$(lints fuzz/Cargo.toml)" ] || fail 'fuzz/Cargo.toml: other lints than in Cargo.toml'
    large=$(find fuzz/corpus -type f -size +32k)
    [ -z "$large" ] || fail "seeds of more than 32 KiB: $large"
}

# Somebody's own folders say nothing to a reader, and do not exist elsewhere.
check_forbidden_words() {
    local found
    found=$(files '*' | tr '\n' '\0' | xargs -0 grep -nIE '(^|[^])}>*[:alnum:]_./-])/(work|root)($|[^[:alnum:]_-])' || true)
    [ -z "$found" ] || fail "a path of one machine:"$'\n'"$found"
}

check_dependency_directions
check_dependencies_shared_by_all
check_manifests
check_rust_files
check_fuzz_package
check_forbidden_words
[ $failures = 0 ] || die "$failures rules are broken"
