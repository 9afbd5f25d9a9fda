#!/usr/bin/env bash
# Runs a command with at most MIB of memory, page cache included, and says how much of it was used and how often the limit was met. Needs root.
#   benches/ann/limited.sh MIB COMMAND...
set -euo pipefail
if (($# < 2)); then
    echo "usage: $0 MIB COMMAND..." >&2
    exit 2
fi
mib=$1
shift
if [[ -d /sys/fs/cgroup/memory ]]; then # version 1
    group=/sys/fs/cgroup/memory/segue-$$ limit=memory.limit_in_bytes peak=memory.max_usage_in_bytes met=memory.failcnt
elif [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then
    group=/sys/fs/cgroup/segue-$$ limit=memory.max peak=memory.peak met=memory.events
    echo +memory > /sys/fs/cgroup/cgroup.subtree_control
else
    echo "SKIPPED: there are no control groups for memory here" >&2
    exit 75
fi
mkdir "$group"
trap 'rmdir "$group"' EXIT
echo $((mib * 1024 * 1024)) > "$group/$limit"
status=0
bash -c 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"' limited "$group" "$@" || status=$?
printf 'limit %d MiB; most that was used %d MiB; limit met: %s\n' "$mib" "$(($(< "$group/$peak") / 1024 / 1024))" "$(tr '\n' ' ' < "$group/$met")" >&2
exit $status
