#!/usr/bin/env bash
# Feeds every decoder of untrusted bytes with changed seeds, and fails on a panic, a leak, an input that takes 5 s or
# 1 GiB, or anything else that a target in fuzz/fuzz_targets asserts.
#   fuzz.sh                      every target, for 20 s each
#   fuzz.sh SECONDS [TARGET...]  these targets, for that long
# What was found before is kept in target/fuzz/corpus, and the next run goes on from there.
. "$(dirname "$0")/lib.sh"

time_each=${1:-20}
[[ $time_each =~ ^[1-9][0-9]*$ ]] || die "\`$time_each\` is no number of seconds"
shift $(($# > 0))

base=$CARGO_TARGET_DIR/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
programs=$base/$host/release
artifacts=$base/artifacts

all_targets() {
    local file
    for file in fuzz/fuzz_targets/*.rs; do basename "$file" .rs; done
}

# Sanitizers are for nightly compilers only, unless the stable one is told otherwise.
build() {
    RUSTC_BOOTSTRAP=1 cargo fuzz build --target-dir "$base" || die 'the targets could not be built'
}

# run TARGET: its output goes to a log.
run() {
    local target=$1 dictionary=fuzz/dictionaries/$1.dict options=()
    [ ! -f "$dictionary" ] || options+=("-dict=$dictionary")
    mkdir -p "$base/corpus/$target"
    ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=64 RUST_BACKTRACE=1 "$programs/$target" \
        -max_total_time="$time_each" -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$artifacts/$target-" "${options[@]}" \
        "$base/corpus/$target" "fuzz/corpus/$target" >"$base/$target.log" 2>&1
}

# report TARGET STATUS
report() {
    local target=$1 status=$2 log=$base/$1.log executed found
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    if [ "$status" = 0 ] && [ "${executed:-0}" -gt 0 ]; then
        printf '%-16s %10d executions\n' "$target" "$executed"
        return 0
    fi
    # The message, without the input as text and without the fuzzer's own frames.
    grep -E -A2 -m1 'panicked at|ERROR: ' "$log" | cut -c1-1000 >&2 || tail -n 20 "$log" >&2
    found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    say "$target FAILED (all it said: ${log#"$PWD"/})"
    [ -z "$found" ] || say "to see it again: ${programs#"$PWD"/}/$target ${found#"$PWD"/}"
    return 1
}

# run_and_report TARGET...: one after the other.
run_and_report() {
    local target status failed=0
    for target in "$@"; do
        status=0
        run "$target" || status=$?
        report "$target" "$status" || failed=1
    done
    return $failed
}

# Every second target beside the others: a fuzzer keeps one core busy.
run_in_two_rows() {
    local rows=([0]='' [1]='') target turn=0 failed=0
    for target in "$@"; do
        rows[turn]+=" $target"
        turn=$((1 - turn))
    done
    # shellcheck disable=SC2086 # a list of names
    run_and_report ${rows[1]} &
    # shellcheck disable=SC2086
    run_and_report ${rows[0]} || failed=1
    wait $! || failed=1
    return $failed
}

ci/setup.sh fuzz
ci/ebpf.sh
build
mkdir -p "$artifacts"
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(all_targets)
run_in_two_rows "${targets[@]}" || die "crashes are in ${artifacts#"$PWD"/}"
