#!/usr/bin/env bash
# Checks what lies beside it, with the tools that are installed; what is skipped for want of one is said.
#
#     config/deploy/check.sh [AGENT PROGRAMS]     # both as chroot.sh takes them: then the agent runs in an empty root too
set -euo pipefail
cd "$(dirname "$0")/../.."
files=config/deploy

has() {
  command -v "$1" >/dev/null && return
  echo "SKIPPED: $2; needs $1" >&2
  return 1
}
step() { printf '== %s\n' "$*" >&2; "$@"; }

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

if has systemd-analyze "the units"; then
  # The programs need not be installed here; the path of each is made one that is.
  for unit in egret egret-agent; do
    sed "s|^ExecStart=/usr/local/bin/$unit |ExecStart=/bin/true |" "$files/$unit.service" >"$dir/$unit.service"
    step systemd-analyze verify --man=no "$dir/$unit.service"
    # Exposure in tenths: 0 is none. Measured: 1.1 each.
    step systemd-analyze security --offline=true --threshold=15 --no-pager "$files/$unit.service" | tail -1
  done
fi
if has cloud-init "the cloud-init template"; then
  step cloud-init schema --config-file "$files/agent.cloud-init.yaml"
fi
if has hadolint "the Dockerfile"; then
  step hadolint "$files/Dockerfile"
fi
if has ansible-playbook "the playbook's syntax"; then
  step ansible-playbook --inventory egret_agents, --syntax-check "$files/agents.yml"
fi
if has ansible-lint "the playbook's habits"; then
  (cd "$files" && step ansible-lint --offline -q agents.yml)
fi
if has shellcheck "the scripts"; then
  step shellcheck "$files"/*.sh
  # The script inside the template: what stands between its first line and the commands that run it.
  sed -n '/^      #!\/bin\/sh$/,/^runcmd:$/{/^runcmd:$/d;s/^      //;p}' "$files/agent.cloud-init.yaml" >"$dir/install.sh"
  step shellcheck "$dir/install.sh"
fi
if [ $# = 2 ]; then
  step "$files/chroot.sh" "$1" "$2"
else
  echo "SKIPPED: the agent in an empty root; name it and the folder of the other programs" >&2
fi
