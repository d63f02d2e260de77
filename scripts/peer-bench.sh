#!/usr/bin/env bash
# Compares, in one run and in turns: mosquitto alone (stores nothing), mosquitto + a bridge + InfluxDB 1.x,
# and `sunshine serve`. Prints every run and a table of medians. See docs/PERFORMANCE.md for what the figures
# mean and what they do not.
#
#   scripts/peer-bench.sh [SUNSHINE_BINARY]
#
# Without a binary only the two others run. It starts everything itself, on loopback, with data below one
# temporary folder, and ends only what it started. Settings, with their defaults:
#   ROUNDS=3 MESSAGES=1000000 CONNECTIONS=200 WINDOW=20 RATE=5000 PROBES=200 LIMIT_S=120
#   TOOLS=target/release/examples   where mqttload, latency and bridge lie; built with
#                                   cargo build --release -p sunshine-integration-tests --examples
#   BASE_PORT=21880                 the first of eight free ports
#   OUT=peer-bench.txt              where the result is written as well
#   SUNSHINE_STORED=/readings_stored  where in /api/v1/stats the number of stored readings stands
#   SUNSHINE_LATEST=...             path of the query that shows the probe's latest value
set -euo pipefail

SUNSHINE=${1:-}
ROUNDS=${ROUNDS:-3}
MESSAGES=${MESSAGES:-1000000}
CONNECTIONS=${CONNECTIONS:-200}
WINDOW=${WINDOW:-20}
RATE=${RATE:-5000}
PROBES=${PROBES:-200}
LIMIT_S=${LIMIT_S:-120}
TOOLS=${TOOLS:-target/release/examples}
BASE_PORT=${BASE_PORT:-21880}
OUT=${OUT:-peer-bench.txt}
SUNSHINE_STORED=${SUNSHINE_STORED:-/readings_stored}
SUNSHINE_LATEST=${SUNSHINE_LATEST:-/api/v1/points/load/probe/temperature/latest}

MOSQUITTO_PORT=$BASE_PORT
PAIR_PORT=$((BASE_PORT + 1))
INFLUX_PORT=$((BASE_PORT + 2))
INFLUX_RPC_PORT=$((BASE_PORT + 3))
SUNSHINE_MQTT_PORT=$((BASE_PORT + 4))
SUNSHINE_HTTP_PORT=$((BASE_PORT + 5))

fail() { echo "peer-bench: $*" >&2; exit 1; }

for tool in mqttload latency bridge; do
  [ -x "$TOOLS/$tool" ] || fail "$TOOLS/$tool is missing; build it: cargo build --release -p sunshine-integration-tests --examples"
done
MOSQUITTO=$(PATH=$PATH:/usr/sbin command -v mosquitto) || fail "mosquitto is missing; on Debian: apt-get install mosquitto"
INFLUXD=$(command -v influxd) || fail "influxd is missing; on Debian: apt-get install influxdb"
[ -z "$SUNSHINE" ] || [ -x "$SUNSHINE" ] || fail "$SUNSHINE is no program"

DIR=$(mktemp -d "${TMPDIR:-/tmp}/peer-bench.XXXXXX")
STARTED=()
cleanup() {
  for pid in "${STARTED[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${STARTED[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$DIR"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

for offset in 0 1 2 3 4 5; do
  ! listens $((BASE_PORT + offset)) || fail "port $((BASE_PORT + offset)) is taken; set BASE_PORT"
done

# start NAME PORT COMMAND...: runs it in the background, waits until PORT answers, leaves its id in STARTED_PID.
start() {
  local name=$1 port=$2
  shift 2
  "$@" >"$DIR/$name.log" 2>&1 &
  STARTED_PID=$!
  STARTED+=("$STARTED_PID")
  for _ in $(seq 200); do
    kill -0 "$STARTED_PID" 2>/dev/null || { tail -n 20 "$DIR/$name.log" >&2; fail "$name ended at once"; }
    [ "$port" = 0 ] || ! listens "$port" || return 0
    [ "$port" != 0 ] || ! grep -q subscribed "$DIR/$name.log" || return 0
    sleep 0.1
  done
  fail "$name does not answer after 20 s"
}

# A broker's own limits off: no limit in flight or queued, so that the bridge is not held back.
mosquitto_conf() {
  cat >"$DIR/mosquitto-$1.conf" <<CONF
listener $1 127.0.0.1
allow_anonymous true
max_inflight_messages 0
max_queued_messages 0
persistence false
log_type error
CONF
}

start_mosquitto() {
  mosquitto_conf "$MOSQUITTO_PORT"
  start mosquitto "$MOSQUITTO_PORT" "$MOSQUITTO" -c "$DIR/mosquitto-$MOSQUITTO_PORT.conf"
  MOSQUITTO_PIDS=(--pid "$STARTED_PID")
}

start_pair() {
  mosquitto_conf "$PAIR_PORT"
  start pair-mosquitto "$PAIR_PORT" "$MOSQUITTO" -c "$DIR/mosquitto-$PAIR_PORT.conf"
  PAIR_PIDS=(--pid "$STARTED_PID")
  cat >"$DIR/influxdb.conf" <<CONF
reporting-disabled = true
bind-address = "127.0.0.1:$INFLUX_RPC_PORT"
[meta]
  dir = "$DIR/influx/meta"
[data]
  dir = "$DIR/influx/data"
  wal-dir = "$DIR/influx/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:$INFLUX_PORT"
  log-enabled = false
[logging]
  level = "error"
CONF
  start influxd "$INFLUX_PORT" "$INFLUXD" -config "$DIR/influxdb.conf"
  PAIR_PIDS+=(--pid "$STARTED_PID")
  curl -sS -o /dev/null -X POST "http://127.0.0.1:$INFLUX_PORT/query" --data-urlencode 'q=CREATE DATABASE load'
  start bridge 0 "$TOOLS/bridge" --broker "127.0.0.1:$PAIR_PORT" --influx "http://127.0.0.1:$INFLUX_PORT"
  PAIR_PIDS+=(--pid "$STARTED_PID")
}

start_sunshine() {
  cat >"$DIR/sunshine.toml" <<CONF
data_dir = "$DIR/sunshine"
[mqtt]
listen = "127.0.0.1:$SUNSHINE_MQTT_PORT"
anonymous_as = "load"
connections_per_identity = $((CONNECTIONS + 8))
publishes_per_second = 1000000
[[mqtt.service]]
name = "load"
publish = ["sk/v1/#"]
[http]
listen = "127.0.0.1:$SUNSHINE_HTTP_PORT"
CONF
  start sunshine "$SUNSHINE_MQTT_PORT" "$SUNSHINE" serve --config "$DIR/sunshine.toml"
  SUNSHINE_PIDS=(--pid "$STARTED_PID")
  for _ in $(seq 100); do ! listens "$SUNSHINE_HTTP_PORT" || return 0; sleep 0.1; done
  fail "sunshine does not answer on its HTTP port"
}

# One row: `run SYSTEM ROUND key=value ...`, on the screen and in the file of rows.
record() { echo "run $*" | tee -a "$DIR/rows"; }

LOAD=(--messages "$MESSAGES" --connections "$CONNECTIONS" --window "$WINDOW" --limit-s "$LIMIT_S")
PACE=(--rate "$RATE" --probes "$PROBES" --limit-s "$LIMIT_S")
QUERY_COUNT="query?db=load&q=SELECT%20count(v)%20FROM%20temperature"
QUERY_LAST="query?db=load&q=SELECT%20last(v)%20FROM%20temperature%20WHERE%20device%3D%27probe%27"

round_of() {
  local system=$1 round=$2 result
  # Topics of its own for each round: a reading that only overwrites another would not count as stored.
  local topic=(--topic "sk/v1/round-$round/dev-{i}/up/temperature")
  case $system in
    mosquitto)
      result=$("$TOOLS/mqttload" --target "127.0.0.1:$MOSQUITTO_PORT" "${LOAD[@]}" "${topic[@]}" "${MOSQUITTO_PIDS[@]}") ;;
    pair)
      result=$("$TOOLS/mqttload" --target "127.0.0.1:$PAIR_PORT" "${LOAD[@]}" "${topic[@]}" "${PAIR_PIDS[@]}" \
        --until "http://127.0.0.1:$INFLUX_PORT/$QUERY_COUNT" --pointer /results/0/series/0/values/0/1)
      result+=" $("$TOOLS/latency" --target "127.0.0.1:$PAIR_PORT" "${PACE[@]}" \
        --query "http://127.0.0.1:$INFLUX_PORT/$QUERY_LAST")" ;;
    sunshine)
      result=$("$TOOLS/mqttload" --target "127.0.0.1:$SUNSHINE_MQTT_PORT" "${LOAD[@]}" "${topic[@]}" "${SUNSHINE_PIDS[@]}" \
        --until "http://127.0.0.1:$SUNSHINE_HTTP_PORT/api/v1/stats" --pointer "$SUNSHINE_STORED")
      result+=" $("$TOOLS/latency" --target "127.0.0.1:$SUNSHINE_MQTT_PORT" "${PACE[@]}" \
        --query "http://127.0.0.1:$SUNSHINE_HTTP_PORT$SUNSHINE_LATEST")" ;;
  esac
  record "$system" "$round" "$result"
}

# The median of each figure per system, as a table. An even number of rounds takes the lower middle.
table() {
  awk '
    $1 == "run" { for (n = 4; n <= NF; n++) { split($n, part, "="); values[$2, part[1]] = values[$2, part[1]] " " part[2]; seen[$2] = 1 } }
    function median(text,   list, count, i, j, held) {
      count = split(text, list, " ")
      if (count == 0) return "-"
      for (i = 2; i <= count; i++) { held = list[i] + 0; for (j = i - 1; j >= 1 && list[j] + 0 > held; j--) list[j + 1] = list[j]; list[j + 1] = held }
      return list[int((count + 1) / 2)]
    }
    END {
      print "| system | acknowledged/s | stored and queryable/s | CPU s per million | peak RSS MiB | queryable p50 ms | p99 ms |"
      print "|---|---|---|---|---|---|---|"
      names = split("mosquitto pair sunshine", order, " ")
      for (n = 1; n <= names; n++) if (order[n] in seen) {
        s = order[n]
        print "| " s " | " median(values[s, "acked_per_s"]) " | " median(values[s, "stored_per_s"]) " | " median(values[s, "cpu_s_per_million"]) " | " median(values[s, "peak_rss_mib"]) " | " median(values[s, "p50_ms"]) " | " median(values[s, "p99_ms"]) " |"
      }
    }' "$DIR/rows"
}

SYSTEMS=(mosquitto pair)
start_mosquitto
start_pair
if [ -n "$SUNSHINE" ]; then
  SYSTEMS+=(sunshine)
  start_sunshine
fi

{
  echo "# $(date -u +%Y-%m-%dT%H:%MZ), $(nproc) cores, load $(cut -d' ' -f1-3 /proc/loadavg), kernel $(uname -r)"
  echo "# $("$MOSQUITTO" -h | head -n 1 || true), $("$INFLUXD" version | head -n 1)"
  echo "# $MESSAGES messages, $CONNECTIONS connections, window $WINDOW, 113-byte payloads, QoS 1; latency at $RATE/s"
} | tee "$DIR/head"

for round in $(seq "$ROUNDS"); do
  for system in "${SYSTEMS[@]}"; do round_of "$system" "$round"; done
done

{ cat "$DIR/head" "$DIR/rows"; echo; table; } >"$OUT"
echo
table
