#!/usr/bin/env bash
# The agent of `cargo small` in an empty root: the binary, /etc/resolv.conf, a state dir. It joins over TLS a coordinator that
# it finds by name, and asks a whois server that it finds by name, as nobody. All in a network namespace made for this.
#
#     config/deploy/chroot.sh target/x86_64-unknown-linux-gnu/small/egret-agent target/debug
#
# The second folder holds `egret` and `egret-remote`. Needs root, iproute2 and python3; skips loudly without.
set -euo pipefail

agent=$(realpath "$1") programs=$(realpath "$2")
if [ "$(id -u)" != 0 ] || ! command -v ip >/dev/null || ! command -v python3 >/dev/null; then
  echo "SKIPPED: the agent in an empty root; needs root, iproute2 and python3" >&2
  exit 0
fi

dir=$(mktemp -d) ns=egret-chroot-$$ pids=()
# `egret-remote` ends with its input, so there is one without an end.
mkfifo "$dir/input"
exec 3<>"$dir/input"
finish() {
  [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait
  ip netns del "$ns" 2>/dev/null || true
  rm -rf "$dir"
}
trap finish EXIT

run() { ip netns exec "$ns" "$@"; }
start() { # NAME COMMAND…: its process id is the last of `pids`
  local log=$dir/$1.log
  shift
  ip netns exec "$ns" "$@" <&3 >"$log" 2>&1 &
  pids+=($!)
}
await() { # NAME TEXT: until it has said so
  for _ in $(seq 600); do
    if grep -q "$2" "$dir/$1.log"; then return; fi
    sleep 0.1
  done
  echo "$1 never said \"$2\":" >&2
  cat "$dir/$1.log" >&2
  exit 1
}

ip netns add "$ns"
ip -n "$ns" link set lo up
for address in 10.9.0.1 10.9.0.2 10.9.0.3 10.9.0.53; do ip -n "$ns" addr add $address/32 dev lo; done

# A resolver that knows two names.
cat >"$dir/resolver.py" <<'PYTHON'
import socket
NAMES = {b"coordinator": "10.9.0.1", b"whois": "10.9.0.3"}
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("10.9.0.53", 53))
print("ready", flush=True)
while True:
    query, peer = server.recvfrom(512)
    host, kind = query[13:13 + query[12]], query[query.index(0, 12) + 1:][:2]
    end = query.index(0, 12) + 5
    known = kind == b"\0\1" and host in NAMES
    head = query[:2] + b"\x81\x80\0\1" + (b"\0\1" if known else b"\0\0") + b"\0\0\0\0"
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(NAMES[host]) if known else b""
    server.sendto(head + query[12:end] + answer, peer)
PYTHON
start resolver python3 "$dir/resolver.py"
start whois "$programs/egret-remote" whois --listen 10.9.0.3:4343
cat >"$dir/egret.toml" <<TOML
listen = "0.0.0.0:7043"
data_dir = "$dir/data"
[[service]]
id = "whois"
protocol = "whois"
address = "whois.egret.test:4343"
allow_private_addresses = true
quotas = [{ units = 10, per = "1s" }]
TOML
start coordinator "$programs/egret" serve --config "$dir/egret.toml"
await resolver ready
await whois "listening on"
await coordinator "egret serves"

root=$dir/root
install -D --mode 0755 "$agent" "$root/egret-agent"
install --directory --mode 0700 --owner 65532 --group 65532 "$root/state"
install --directory "$root/etc"
echo "nameserver 10.9.0.53" >"$root/etc/resolv.conf"
run "$programs/egret" token create >"$root/token" 2>/dev/null
chmod 0400 "$root/token"
chown 65532:65532 "$root/token"

start agent chroot --userspec 65532:65532 "$root" /egret-agent --coordinator https://coordinator.egret.test:7043 \
  --egress 10.9.0.2 --allow-private 10.9.0.3 --state-dir /state --token-file /token
await agent "session with"
answer=$(run "$programs/egret" lookup a.example --service whois --raw)
echo "in the root: $(cd "$root" && find . -type f | sort | tr '\n' ' ')"
echo "size: $(stat --format %s "$agent") bytes; $(grep VmRSS "/proc/${pids[-1]}/status" | tr -s '\t ' ' ') after one lookup"
echo "answer: $(head -1 <<<"$answer")"
[ -n "$answer" ]
