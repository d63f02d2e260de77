#!/usr/bin/env bash
# Years of readings beside the peers, in one run: feeds one set of readings, in the order of arrival, to our own path
# (log, decoding, store), to Debian's InfluxDB 1.6 and to VictoriaMetrics (gzip line protocol over loopback), asks each
# the same questions, and prints one table. See docs/PERFORMANCE.md for what the figures mean and what they do not.
#
#   cargo build --release -p sunshine-integration-tests --example series_peers
#   scripts/series-peers.sh
#
# It starts everything itself, with data below one temporary folder, and ends only what it started. At most ten
# minutes with the defaults. Settings:
#   READINGS=20000000       readings of 5,000 series; one more series of a year (741,600 readings) comes on top
#   PEER_READINGS=$READINGS the same for the peers; the table says how many each had
#   LIMIT_S=150             feeding one of them ends after so many seconds, with as many readings as there were
#   TOOL=target/release/examples/series_peers
#   BASE_PORT=21890         the first of three free ports
#   SYSTEMS="sunshine victoriametrics influxdb"
set -euo pipefail

READINGS=${READINGS:-20000000}
PEER_READINGS=${PEER_READINGS:-$READINGS}
LIMIT_S=${LIMIT_S:-150}
TOOL=${TOOL:-target/release/examples/series_peers}
BASE_PORT=${BASE_PORT:-21890}
SYSTEMS=${SYSTEMS:-sunshine victoriametrics influxdb}
INFLUX_PORT=$BASE_PORT
INFLUX_RPC_PORT=$((BASE_PORT + 1))
VICTORIA_PORT=$((BASE_PORT + 2))

fail() { echo "series-peers: $*" >&2; exit 1; }

[ -x "$TOOL" ] || fail "$TOOL is missing; build it: cargo build --release -p sunshine-integration-tests --example series_peers"
INFLUXD=$(command -v influxd) || fail "influxd is missing; on Debian: apt-get install influxdb"
VICTORIA=$(command -v victoria-metrics) || fail "victoria-metrics is missing; on Debian: apt-get install victoria-metrics"

DIR=$(mktemp -d "${TMPDIR:-/tmp}/series-peers.XXXXXX")
STARTED=
stop() {
  [ -z "$STARTED" ] || { kill "$STARTED" 2>/dev/null || true; wait "$STARTED" 2>/dev/null || true; }
  STARTED=
}
trap 'stop; rm -rf "$DIR"' EXIT
trap 'exit 130' INT TERM

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# start NAME PORT COMMAND...: runs it in the background and waits until PORT answers.
start() {
  local name=$1 port=$2
  shift 2
  ! listens "$port" || fail "port $port is taken; set BASE_PORT"
  "$@" >"$DIR/$name.log" 2>&1 &
  STARTED=$!
  for _ in $(seq 200); do
    kill -0 "$STARTED" 2>/dev/null || { tail -n 20 "$DIR/$name.log" >&2; fail "$name ended at once"; }
    ! listens "$port" || return 0
    sleep 0.1
  done
  fail "$name does not answer after 20 s"
}

feed() { "$TOOL" "$@" --limit-s "$LIMIT_S" | tee -a "$DIR/rows"; }

run_sunshine() {
  mkdir "$DIR/sunshine"
  feed --system sunshine --dir "$DIR/sunshine" --readings "$READINGS"
  rm -rf "$DIR/sunshine"
}

run_victoriametrics() {
  mkdir "$DIR/victoria"
  start victoriametrics "$VICTORIA_PORT" "$VICTORIA" -storageDataPath="$DIR/victoria" \
    -httpListenAddr="127.0.0.1:$VICTORIA_PORT" -retentionPeriod=100y -dedup.minScrapeInterval=1ms
  feed --system victoria --url "http://127.0.0.1:$VICTORIA_PORT" --pid "$STARTED" --dir "$DIR/victoria" \
    --readings "$PEER_READINGS"
  stop
  rm -rf "$DIR/victoria"
}

# What it holds in memory is written, and what it has written merged, after seconds instead of hours: its bytes on disk
# are then those of data at rest.
run_influxdb() {
  mkdir "$DIR/influx"
  cat >"$DIR/influxdb.conf" <<CONF
reporting-disabled = true
bind-address = "127.0.0.1:$INFLUX_RPC_PORT"
[meta]
  dir = "$DIR/influx/meta"
[data]
  dir = "$DIR/influx/data"
  wal-dir = "$DIR/influx/wal"
  query-log-enabled = false
  cache-max-memory-size = "2g"
  cache-snapshot-write-cold-duration = "2s"
  compact-full-write-cold-duration = "4s"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:$INFLUX_PORT"
  log-enabled = false
  max-body-size = 0
[logging]
  level = "error"
CONF
  start influxdb "$INFLUX_PORT" "$INFLUXD" -config "$DIR/influxdb.conf"
  curl -sS -o /dev/null -X POST "http://127.0.0.1:$INFLUX_PORT/query" --data-urlencode 'q=CREATE DATABASE bench'
  feed --system influx --url "http://127.0.0.1:$INFLUX_PORT" --pid "$STARTED" --dir "$DIR/influx" \
    --readings "$PEER_READINGS"
  stop
  rm -rf "$DIR/influx"
}

uptime
for system in $SYSTEMS; do "run_$system"; done
uptime

# field NAME ROW: the value of NAME=value.
field() { sed -n "s/.* $1=\([^ ]*\).*/\1/p" <<<"$2 "; }

echo
echo "Questions: processor / wall milliseconds. Shares of the peers count samples, ours weighs by time."
echo
echo "| system | readings | CPU s | M readings per CPU s | wall s | bytes per reading | 30 days | a year | share over 8 | latest of all |"
echo "|---|---|---|---|---|---|---|---|---|---|"
while read -r row; do
  system=$(cut -d' ' -f2 <<<"$row")
  cells=
  for name in readings cpu_s m_per_cpu_s wall_s bytes_per_reading month year share latest; do
    cells+=" $(field "$name" "$row") |"
  done
  echo "| $system |$cells"
done < <(grep '^row ' "$DIR/rows")
grep '^sunshine: ' "$DIR/rows" || true
