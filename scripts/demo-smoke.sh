#!/usr/bin/env bash
# Starts the demo, looks at its page as a visitor would, and stops it in order.
#
#   scripts/demo-smoke.sh SECONDS COMMAND [ARGUMENT…]
#
# COMMAND is what starts the demo; it must become ready within SECONDS (a build counts). Fails when the
# page is not served, when nothing is measured, or when the process does not end by itself once it is asked.
set -euo pipefail

readonly stop_within_s=40
readonly deadline=$((SECONDS + $1))
shift

log=$(mktemp)
pid=
cleanup() {
    if [[ -n $pid ]] && kill -0 "$pid" 2>/dev/null; then
        kill -KILL "$pid" || true
    fi
    rm -f "$log"
}
trap cleanup EXIT

fail() {
    printf 'demo: %s\n--- its output ---\n' "$1" >&2
    tail -n 60 "$log" >&2
    exit 1
}

# Runs a check again and again until it holds, the deadline passes or the demo ends.
until_holds() {
    local -r what=$1
    shift
    until "$@"; do
        kill -0 "$pid" 2>/dev/null || fail "it ended before $what"
        ((SECONDS < deadline)) || fail "no time is left, and it is not so that $what"
        sleep 0.3
    done
}

fetch() { curl --silent --show-error --fail --max-time 5 --noproxy '*' "$base$1"; }
names_its_address() { base=$(grep -om1 'http://127\.0\.0\.1:[0-9]\+' "$log"); }
serves() { fetch "$1" 2>/dev/null | grep -q "$2"; }

"$@" >"$log" 2>&1 </dev/null &
pid=$!

base=
until_holds 'it names its address' names_its_address
until_holds 'the page names the district' serves '/?lang=en' 'Binhe District'
until_holds 'the Chinese page names the district' serves '/?lang=zh-CN' '滨河区'
# A figure greater than nought: readings came in over MQTT, through the log, into the store.
until_holds 'readings are stored' serves /api/v1/stats '"readings_stored":[[:space:]]*[1-9]'
# A simulated camera's pictures went over RTSP, through models and the log, and became a case.
until_holds 'a camera raises a finding' serves /api/v1/findings '"check"'
until_holds 'the finding is a case' serves /api/v1/cases '"V-'
printf 'demo: %s shows the district, readings come in, cameras raise findings\n' "$base"

kill -TERM "$pid"
for ((waited = 0; waited < stop_within_s * 10; waited++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
done
kill -0 "$pid" 2>/dev/null && fail "it did not stop within $stop_within_s s of SIGTERM"
status=0
wait "$pid" || status=$?
pid=
((status == 0)) || fail "it stopped with status $status"
printf 'demo: stopped in order\n'
