#!/usr/bin/env bash
# Builds everything and runs a gateway and an agent here until Ctrl-C.
. "$(dirname "$0")/lib.sh"

metrics=http://127.0.0.1:9464/metrics

ci/setup.sh
ci/ebpf.sh
cargo build --release -p weir-gateway -p weir-agent -p weir-cli

# What `make geoip` has fetched, unless the gateway is told something else.
if [ -d target/geoip ]; then
    export WEIR_GATEWAY_GEOIP_FILES="${WEIR_GATEWAY_GEOIP_FILES:-target/geoip}"
fi

declare -A pids=()
# `wait -n` stops waiting when a signal with a trap arrives.
stopping=
trap 'stopping=1' INT TERM

start() {
    "target/release/$1" --config "docker/config/$2" &
    pids[$1]=$!
}

is_running() { kill -0 "${pids[$1]}" 2>/dev/null; }

# In the order data flows, so that the gateway still takes what the agent flushes.
stop_all() {
    local name failed=0
    for name in weir-agent weir-gateway; do
        [ -n "${pids[$name]:-}" ] || continue
        kill -TERM "${pids[$name]}" 2>/dev/null || true
        end_of "$name" || failed=1
    done
    return $failed
}

# Waits for a program and says how it ended, if that was not in order.
end_of() {
    local status=0
    while is_running "$1"; do wait "${pids[$1]}" || true; done
    wait "${pids[$1]}" || status=$?
    unset "pids[$1]"
    [ $status = 0 ] || say "$1 ended with status $status"
    return $status
}

fail_if_any_died() {
    local name
    for name in "${!pids[@]}"; do
        is_running "$name" && continue
        end_of "$name" || true
        stop_all || true
        die "$name has stopped by itself"
    done
}

# until_ready WHAT CONDITION...
until_ready() {
    local what=$1 deadline=$((SECONDS + 60))
    shift
    until "$@"; do
        [ -z "$stopping" ] || return 0
        fail_if_any_died
        if [ $SECONDS -ge $deadline ]; then
            stop_all || true
            die "$what is not ready after 60 seconds"
        fi
        sleep 0.2
    done
    fail_if_any_died
}

gateway_answers() { curl -sf -m 2 -o /dev/null "$metrics"; }
agent_is_seen() { curl -sf -m 2 "$metrics" | grep '^weir_agent_' >/dev/null; }

start weir-gateway gateway.yaml
until_ready weir-gateway gateway_answers
[ -n "$stopping" ] || start weir-agent agent.yaml
until_ready weir-agent agent_is_seen

if [ -z "$stopping" ]; then
    say 'weir is running; Ctrl-C stops it. In another terminal:'
    say '  target/release/weir flows      the live flows'
    say "  curl $metrics"
fi
while [ -z "$stopping" ]; do
    wait -n || true
    [ -n "$stopping" ] || fail_if_any_died
done
say 'stopping'
stop_all
