#!/usr/bin/env bash
# Boots target/kernels/VERSION and runs the checks in it. Their results are in its file results, what the
# kernel said in console. Fails, and shows both, if the checks did not come to their end.
#   boot.sh VERSION
# WEIR_CHECK_ONLY=WORD runs only the cases whose name contains the word, WEIR_TEST_PATIENCE=SECONDS is how long
# a case waits for its rows.
. "$(dirname "$0")/../lib.sh"

# A boot takes seconds and the checks a minute; emulated on a machine under load, several times that.
patience=${WEIR_KERNEL_PATIENCE:-600}

folder=$CARGO_TARGET_DIR/kernels/${1:?a version}
console=$folder/console
results=$folder/results
rm -f "$console" "$results" "$results.raw"

# The kernel hands the variables on.
append="console=ttyS0 quiet panic=-1 WEIR_TEST_PATIENCE=${WEIR_TEST_PATIENCE:-30}"
[ -z "${WEIR_CHECK_ONLY:-}" ] || append+=" WEIR_CHECK_ONLY=$WEIR_CHECK_ONLY"

status=0
timeout "$patience" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 1 -m 1024 \
    -nodefaults -display none -no-reboot \
    -kernel "$folder/vmlinuz" -initrd "$folder/initramfs" -append "$append" \
    -serial "file:$console" -serial "file:$results.raw" </dev/null || status=$?
tr -d '\r' <"$results.raw" >"$results"

if [ $status != 0 ] || ! grep -q '^end ' "$results" || grep -q 'Kernel panic' "$console"; then
    say "$1: the checks did not come to their end (qemu's status $status; 124 is the time limit, $patience s)"
    sed "s/^/$1: /" "$console" "$results" >&2
    exit 1
fi
