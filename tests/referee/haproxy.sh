#!/usr/bin/env bash
# A referee that we did not write: HAProxy's stick table counts connections by source address and turns
# away whoever comes too often. egret looks names up through it; HAProxy's own counters are the result.
#
#     tests/referee/haproxy.sh [AGENTS [LOOKUPS [UNITS PERIOD_SECS]]]      # 4 200 5 1
#
# Needs haproxy (Debian: apt-get install haproxy), Rust, python3. Loopback only; everything is stopped by its process id.
set -euo pipefail
cd "$(dirname "$0")/../.."
agents=${1:-4} lookups=${2:-200} units=${3:-5} secs=${4:-1}

cargo build --quiet -p egret-cli -p egret-agent -p egret-testkit --bins
bin=$(realpath "${CARGO_TARGET_DIR:-target}/debug")
dir=$(mktemp -d)
pids=()
cleanup() { kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"; }
trap cleanup EXIT

# $1: file, $2: what to find there; waits for it and prints what follows it on its line.
await() {
  for _ in $(seq 200); do
    found=$(sed -n "s|.*$2||p" "$1" 2>/dev/null | head -1)
    [ -n "$found" ] && { printf '%s\n' "$found"; return; }
    sleep 0.05
  done
  echo "nothing like '$2' in $1:" >&2; cat "$1" >&2; exit 1
}

# The whois service itself has no limit; HAProxy in front of it has.
"$bin/egret-remote" whois --listen 127.0.0.1:0 --ignore-stdin >"$dir/remote" 2>&1 & pids+=($!)
backend=$(await "$dir/remote" "listening on ")
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$dir/haproxy.cfg" <<CFG
global
  stats socket $dir/haproxy.sock mode 600 level admin
  maxconn 4096
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend whois
  bind 127.0.0.1:$port
  stick-table type ip size 10k expire 10m store conn_cnt,conn_rate(${secs}s),gpc0
  tcp-request connection track-sc0 src
  tcp-request connection sc-inc-gpc0(0) if { sc0_conn_rate gt $units }
  tcp-request connection reject if { sc0_conn_rate gt $units }
  default_backend server
backend server
  server whois $backend
CFG
haproxy -f "$dir/haproxy.cfg" >"$dir/haproxy" 2>&1 & pids+=($!)
for _ in $(seq 200); do [ -S "$dir/haproxy.sock" ] && break; sleep 0.05; done

# HAProxy's rates are a fading count of the last period and this one: the two-bucket way of counting.
cat >"$dir/egret.toml" <<CFG
listen = "127.0.0.1:0"
data_dir = "$dir/data"
[[service]]
id = "whois.refereed"
protocol = "whois"
address = "127.0.0.1:$port"
quotas = [{ units = $units, per = "${secs}s" }]
counting = "two-bucket"
refused_when = [{ empty = true }, { closed = true }]
allow_private_addresses = true
CFG
"$bin/egret" serve --config "$dir/egret.toml" >"$dir/egret" 2>&1 & pids+=($!)
url=http://$(await "$dir/egret" "egret serves http://" | cut -d' ' -f1)
EGRET_TOKEN=$("$bin/egret" --url "$url" --json token create --uses "$agents" | python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])')
export EGRET_TOKEN
for n in $(seq 2 $((agents + 1))); do
  "$bin/egret-agent" --coordinator "$url" --egress "127.0.0.$n" --name "a$n" --state-dir "$dir/agent$n" >"$dir/log$n" 2>&1 & pids+=($!)
  await "$dir/log$n" "session with " >/dev/null
done

seq -f 'name%g.example' "$lookups" >"$dir/names"
"$bin/egret" --url "$url" submit "$dir/names" --service whois.refereed --wait -o "$dir/out.ndjson"
python3 - "$dir/haproxy.sock" "$lookups" "$units" "$secs" <<'PY'
import socket, sys
path, lookups, units, secs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
s = socket.socket(socket.AF_UNIX); s.connect(path); s.sendall(b"show table whois\n")
text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
rows = [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in text.splitlines() if "key=" in line]
calls, refused = sum(int(r["conn_cnt"]) for r in rows), sum(int(r["gpc0"]) for r in rows)
print(f"HAProxy's own count, {units} per {secs} s: {len(rows)} addresses, {calls} connections, {refused} refused")
sys.exit(0 if refused == 0 and calls >= lookups else 1)
PY
