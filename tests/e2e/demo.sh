#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Three nodes, a coordinator and a collector; real traces replayed through
# them; one collected trace drawn; and the proof in the last line. Everything
# is started here, ended here and removed here. --dpdk: the nodes stand in
# network namespaces of their own, and slices go through DPDK ports (as root;
# demo_dpdk.py runs that fabric and names it in HS_DEMO_FABRIC).
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
if [ "${1:-}" = --dpdk ] && [ -z "${HS_DEMO_FABRIC:-}" ]; then
	shift
	exec python3 tests/e2e/demo_dpdk.py "$@"
fi
if [ $# -gt 0 ]; then
	echo "usage: ./dev demo [--dpdk]" >&2
	exit 2
fi
build=${HS_BUILD:-build}
hs=$build/tools/hs
replay=$build/tools/hs-replay
speed=${HS_DEMO_SPEED:-20}

# The sample that lives in the repository, or else the sets beside it.
sample=tests/data/traceweaver/demo.tar.xz
if [ ! -e "$sample" ]; then
	sample=${HS_SHARED_DATA:-../shared/data}/traceweaver/sample
fi
if [ ! -e "$sample" ]; then
	echo "demo: no traces to replay: $sample is missing" >&2
	exit 1
fi

tmp=$(mktemp -d "${TMPDIR:-/tmp}/hs-demo-XXXXXX")
dir=${HS_DEMO_FABRIC:-$tmp}
fabric=(--keep "$dir")
[ "$dir" = "$tmp" ] || fabric=(--fabric "$dir")
finish() {
	if [ -e "$tmp/fabric.json" ]; then
		"$hs" stop --purge --fabric "$tmp" >"$tmp/stop.txt" 2>&1 ||
			cat "$tmp/stop.txt" >&2
	fi
	rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM

echo "demo: replaying $sample over three nodes, $speed times as fast"
rc=0
"$replay" --nodes 3 --speed "$speed" --trigger share=0.05 \
	--trigger slow=p95 "${fabric[@]}" "$sample" >"$tmp/replay.txt" || rc=$?
cat "$tmp/replay.txt"
# What it shows is what was collected, on a machine of any speed.
if [ "$rc" -eq 5 ]; then
	rc=0
fi
last=$(grep '^replay: triggered=' "$tmp/replay.txt" || true)
if [ "$rc" -ne 0 ] || [ -z "$last" ]; then
	echo "demo: the replay failed with exit code $rc" >&2
	exit 1
fi

echo
echo "\$ hs status"
"$hs" status --fabric "$dir"
echo
echo "\$ hs traces list --trigger slow --limit 5"
"$hs" traces list --fabric "$dir" --trigger slow --limit 5
trace=$("$hs" traces list --fabric "$dir" --service nginx --limit 1 --json |
	sed -n 's/.*"trace_id": *"\([0-9a-f]*\)".*/\1/p' | head -n 1)
echo
echo "\$ hs traces show $trace"
"$hs" traces show --fabric "$dir" "$trace"
echo
echo "${last/#replay:/demo:}"
