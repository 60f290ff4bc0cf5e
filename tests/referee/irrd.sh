#!/usr/bin/env bash
# A whois server that we did not write: IRRd, which serves routing registries, with a PostgreSQL and a Redis of its own.
#
#     tests/referee/irrd.sh setup              # installs what is missing; says nothing if nothing is
#     tests/referee/irrd.sh serve SEED.rpsl    # holds these objects, source EGRET, until it is told to end
#
# `serve` prints `IRRd VERSION listening on 127.0.0.1:PORT` once it answers. Everything is private: its data lie in a
# directory that is removed at the end, PostgreSQL and Redis have Unix sockets only, IRRd has free ports of loopback,
# and all is stopped by its process id. Services that Debian's packages start are neither used nor stopped.
#
# Needs python3 (3.10 or later) with venv; IRRd is installed below ${XDG_CACHE_HOME:-~/.cache}/egret-referee.
set -euo pipefail
PATH=$PATH:/usr/sbin
version=4.5.4
venv=${XDG_CACHE_HOME:-$HOME/.cache}/egret-referee/irrd-$version

fail() { echo "$*" >&2; exit 1; }

# Debian keeps the programs of PostgreSQL apart, one directory a version.
postgres_bin() {
  local initdb
  initdb=$(find /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -1)
  initdb=${initdb:-$(command -v initdb)} && dirname "$(realpath "$initdb")"
}

setup() {
  local missing=()
  command -v haproxy >/dev/null || missing+=(haproxy)
  command -v redis-server >/dev/null || missing+=(redis-server)
  postgres_bin >/dev/null || missing+=(postgresql)
  if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
      fail "not installed: ${missing[*]}; as root: apt-get install ${missing[*]}"
    fi
    echo "installing ${missing[*]}" >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
  fi
  # The file `complete` is written last: an installation that broke off is begun again.
  [ -e "$venv/complete" ] && return
  echo "installing IRRd $version into $venv" >&2
  rm -rf "$venv"
  mkdir -p "$(dirname "$venv")"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "irrd==$version" >&2
  touch "$venv/complete"
}

# $1: what is awaited, $2: the process that must bring it, $3: its log, then a command that succeeds once it is there.
await() {
  local what=$1 pid=$2 log=$3
  shift 3
  for _ in $(seq 600); do
    "$@" >/dev/null 2>&1 && return
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  tail -20 "$log" >&2
  fail "$what does not answer"
}

# $1: the name of its log, then a command. What it says is shown only if it fails.
checked() {
  local log=$dir/$1
  shift
  "$@" >"$log" 2>&1 || { tail -20 "$log" >&2; fail "failed: $*"; }
}

# Ends what `serve` began: IRRd with its workers, then its databases. Whatever is left of its group is killed.
cleanup() {
  [ -z "$irrd" ] || { kill "$irrd"; wait "$irrd"; kill -KILL -- "-$irrd"; } 2>/dev/null || true
  [ -z "$redis" ] || { kill "$redis"; wait "$redis"; } 2>/dev/null || true
  [ -z "$postgres" ] || { kill -INT "$postgres"; wait "$postgres"; } 2>/dev/null || true
  rm -rf "$dir"
}

serve() {
  local seed as=() bin ports
  seed=$(realpath "$1")
  bin=$(postgres_bin)
  dir=$(mktemp -d) irrd='' redis='' postgres=''
  trap cleanup EXIT
  # Programs that give up root could not even return to a working directory that is closed to others.
  cd "$dir"
  mkdir pg run gnupg
  if [ "$(id -u)" -eq 0 ]; then
    # PostgreSQL refuses to be root. So does IRRd, unless CI is set: then its code may lie in a home closed to others.
    as=(setpriv --reuid postgres --regid postgres --clear-groups)
    chmod 711 "$dir"
    chown postgres: "$dir/pg" "$dir/run"
    export CI=1
  fi

  # Nothing of it has to outlive a crash.
  checked initdb "${as[@]}" "$bin/initdb" -D "$dir/pg" -U irrd -A trust -E UTF8 --locale=C.UTF-8 --no-sync
  "${as[@]}" "$bin/postgres" -D "$dir/pg" -k "$dir/run" -c listen_addresses= -c fsync=off -c shared_buffers=32MB \
    >"$dir/postgres" 2>&1 & postgres=$!
  redis-server --port 0 --unixsocket "$dir/redis.sock" --save '' --dir "$dir" >"$dir/redis" 2>&1 & redis=$!
  await PostgreSQL "$postgres" "$dir/postgres" "$bin/pg_isready" -h "$dir/run"
  await Redis "$redis" "$dir/redis" redis-cli -s "$dir/redis.sock" ping
  "$bin/createdb" -h "$dir/run" -U irrd irrd
  "$bin/psql" -h "$dir/run" -U irrd -q -c 'CREATE EXTENSION pgcrypto' irrd

  # Each worker holds one caller at a time, the others wait in line; two answer some hundred queries a second.
  read -ra ports < <(python3 -c '
import socket
both = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in both))')
  cat >"$dir/irrd.yaml" <<YAML
irrd:
  database_url: 'postgresql:///irrd?host=$dir/run&user=irrd'
  redis_url: 'unix://$dir/redis.sock'
  piddir: $dir
  server:
    whois: {interface: 127.0.0.1, port: ${ports[0]}, max_connections: 2}
    http: {interface: 127.0.0.1, port: ${ports[1]}, workers: 1, url: 'http://127.0.0.1:${ports[1]}/'}
  auth: {gnupg_keyring: $dir/gnupg}
  email: {from: noc@example.net, smtp: 127.0.0.1}
  rpki: {roa_source: null}
  sources: {EGRET: {authoritative: true}}
YAML
  checked upgrade "$venv/bin/irrd_database_upgrade" --config "$dir/irrd.yaml"
  checked load "$venv/bin/irrd_load_database" --config "$dir/irrd.yaml" --source EGRET "$seed"
  # A session of its own, so that no worker is left if it ends before it can tell them.
  setsid "$venv/bin/irrd" --foreground --config "$dir/irrd.yaml" >"$dir/irrd" 2>&1 & irrd=$!
  await IRRd "$irrd" "$dir/irrd" answers "${ports[0]}"
  echo "IRRd $version listening on 127.0.0.1:${ports[0]}"
  wait "$irrd" || true
  tail -20 "$dir/irrd" >&2
  fail "IRRd has ended"
}

# Asks for IRRd's version: an answer means that a worker has its database.
answers() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1" && printf '!v\r\n' >&3 && timeout 5 grep -q -m1 "IRRd" <&3)
}

case "${1:-} $#" in
  'setup 1') setup ;;
  'serve 2') setup; serve "$2" ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2 ;;
esac
