#!/usr/bin/env bash
# A referee that we did not write before a whois server that we did not write: HAProxy's stick table counts connections
# by source address and turns away whoever comes too often; behind it answers IRRd, over a made-up registry. egret looks
# its objects up; HAProxy's own counters and the objects that came back are the result.
#
#     tests/referee/haproxy.sh [--backend irrd|ours] [--bite] [AGENTS [LOOKUPS [UNITS PERIOD_SECS]]]     # 4 200 5 1
#     tests/referee/haproxy.sh setup
#
# `--backend ours` puts the pretended whois server of the test kit behind HAProxy: no PostgreSQL, Redis and IRRd.
# `--bite` declares two units more to egret than HAProxy allows, or DECLARED of them: now it must refuse some, which
# shows that it would have. `setup` installs what is missing, haproxy among it; any run with IRRd does so first.
#
# Needs Rust and python3; with EGRET_BIN=DIR the programs are taken from there instead of being built. Loopback only;
# everything is stopped by its process id.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/tests/referee
PATH=$PATH:/usr/sbin

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$here/haproxy.sh" >&2; exit 2; }
backend=irrd bite='' numbers=()
while [ $# -gt 0 ]; do
  case $1 in
    setup) exec "$here/irrd.sh" setup ;;
    --backend) backend=${2:-}; shift ;;
    --bite) bite=yes ;;
    *[!0-9]* | '') usage ;;
    *) numbers+=("$1") ;;
  esac
  shift || usage
done
agents=${numbers[0]:-4} lookups=${numbers[1]:-200} units=${numbers[2]:-5} secs=${numbers[3]:-1}
declared=${bite:+${DECLARED:-$((units + 2))}} declared=${declared:-$units}
case $backend in irrd) "$here/irrd.sh" setup ;; ours) ;; *) usage ;; esac

[ -n "${EGRET_BIN:-}" ] || cargo build --quiet -p egret-cli -p egret-agent -p egret-testkit --bins
bin=$(realpath "${EGRET_BIN:-${CARGO_TARGET_DIR:-target}/debug}")
dir=$(mktemp -d)
pids=()
# shellcheck disable=SC2329 # the trap calls it
cleanup() { kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"; }
trap cleanup EXIT

# $1: the log of the process begun last, $2: what to find there; waits for it and prints what follows it on its line.
await() {
  local found
  for _ in $(seq 1200); do
    found=$(sed -n "s|.*$2||p" "$1" 2>/dev/null | head -1)
    [ -n "$found" ] && { printf '%s\n' "$found"; return; }
    kill -0 "${pids[-1]}" 2>/dev/null || break
    sleep 0.05
  done
  echo "nothing like '$2' in $1:" >&2; cat "$1" >&2; exit 1
}

# The whois server itself has no limit; HAProxy before it has.
if [ "$backend" = irrd ]; then
  "$here/registry.py" seed "$lookups" >"$dir/seed.rpsl"
  "$here/registry.py" lookups "$lookups" >"$dir/lookups"
  "$here/irrd.sh" serve "$dir/seed.rpsl" >"$dir/remote" 2>&1 & pids+=($!)
else
  "$here/registry.py" names "$lookups" >"$dir/lookups"
  "$bin/egret-remote" whois --listen 127.0.0.1:0 --ignore-stdin >"$dir/remote" 2>&1 & pids+=($!)
fi
remote=$(await "$dir/remote" "listening on ")
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# By address: gpc0 counts what was refused, gpt0 holds the highest rate at which a call was let in.
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
  stick-table type ip size 10k expire 1h store conn_cnt,conn_rate(${secs}s),gpc0,gpt0
  tcp-request connection track-sc0 src
  tcp-request connection set-var(sess.rate) sc0_conn_rate
  tcp-request connection sc-inc-gpc0(0) if { sc0_conn_rate gt $units }
  tcp-request connection reject if { sc0_conn_rate gt $units }
  tcp-request session sc-set-gpt0(0) var(sess.rate) if { sc0_get_gpt0,neg,add(sess.rate) gt 0 }
  default_backend server
backend server
  server whois $remote
CFG
haproxy -V -f "$dir/haproxy.cfg" >"$dir/haproxy" 2>&1 & pids+=($!)
until [ -S "$dir/haproxy.sock" ]; do
  kill -0 "${pids[-1]}" 2>/dev/null || { cat "$dir/haproxy" >&2; exit 1; }
  sleep 0.05
done

# HAProxy's rates are a fading count of the last period and this one: the two-bucket way of counting.
cat >"$dir/egret.toml" <<CFG
listen = "127.0.0.1:0"
data_dir = "$dir/data"
[[service]]
id = "whois.refereed"
protocol = "whois"
address = "127.0.0.1:$port"
quotas = [{ units = $declared, per = "${secs}s" }]
counting = "two-bucket"
refused_when = [{ empty = true }, { closed = true }]
cool_down = "$((2 * secs))s"
max_cool_down = "$((2 * secs))s"
allow_private_addresses = true
CFG
"$bin/egret" serve --config "$dir/egret.toml" >"$dir/egret" 2>&1 & pids+=($!)
url=http://$(await "$dir/egret" "egret serves http://" | cut -d' ' -f1)
EGRET_TOKEN=$("$bin/egret" --url "$url" --json token create --uses "$agents" |
  python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])')
export EGRET_TOKEN
for n in $(seq 2 $((agents + 1))); do
  "$bin/egret-agent" --coordinator "$url" --egress "127.0.0.$n" --name "a$n" --state-dir "$dir/agent$n" \
    >"$dir/log$n" 2>&1 & pids+=($!)
  await "$dir/log$n" "session with " >/dev/null
done

# In the background, so that it ends with the rest if this script is stopped. What became of the lookups is judged by
# the results, below.
"$bin/egret" --url "$url" submit "$dir/lookups" --service whois.refereed --wait -o "$dir/out.ndjson" & pids+=($!)
wait "${pids[-1]}" || [ -s "$dir/out.ndjson" ]
answers=0 referee=0
"$here/registry.py" answers "$dir/out.ndjson" "$lookups" || answers=$?
if [ -n "$bite" ]; then
  "$here/registry.py" bites "$dir/haproxy.sock" "$units" "${secs}s" || referee=$?
  exit "$referee"
fi
"$here/registry.py" referee "$dir/haproxy.sock" "$lookups" "$units" "${secs}s" || referee=$?
exit $((answers || referee))
