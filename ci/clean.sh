#!/usr/bin/env bash
# Removes what was built. target/tools stays: it takes minutes to make and depends on no source here.
. "$(dirname "$0")/lib.sh"

if [ -d "$CARGO_TARGET_DIR" ]; then
    find "$CARGO_TARGET_DIR" -mindepth 1 -maxdepth 1 ! -name tools -exec rm -rf {} +
fi
