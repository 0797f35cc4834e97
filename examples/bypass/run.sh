#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The example with an agent of its own: examples/bypass/run.sh [BUILD] [option
# of bypass...]
set -euo pipefail
build=build
if [ $# -gt 0 ] && [ -d "$1" ]; then
	build=$1
	shift
fi
dir=$(mktemp -d /tmp/hs-bypass-XXXXXX)
cat >"$dir/agent.yaml" <<END
node: {id: 9, name: bypass}
run_dir: $dir/run
domains:
  - name: default
    socket: $dir/run/agent.sock
    pool: 256MiB
limits: {slots: 32768, lane_entries: 65536, ring_words: 16384}
END
"$build/agent/hs-agent" --config "$dir/agent.yaml" 2>"$dir/log" &
agent=$!
trap 'kill "$agent" 2>/dev/null; wait "$agent" 2>/dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 100); do
	[ ! -S "$dir/run/agent.sock" ] || break
	sleep 0.1
done
[ -S "$dir/run/agent.sock" ] || { cat "$dir/log"; exit 1; }
"$build/examples/bypass/bypass" --socket "$dir/run/agent.sock" "$@"
