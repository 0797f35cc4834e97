#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The paper's three use cases, each a run of services with a real fabric:
#
#	examples/use-cases/run.sh errors|latency|queue [BUILD]
#
# What each shows is in docs/USE_CASES.md.
set -euo pipefail
case "${1:-}" in
errors | latency | queue) ;;
*)
	echo "usage: $0 errors|latency|queue [BUILD]" >&2
	exit 2
	;;
esac
perf=${2:-build}/bench/hs-perf
[ -x "$perf" ] || {
	echo "$0: no $perf; ./dev build makes it" >&2
	exit 1
}
dir=$(mktemp -d /tmp/hs-use-case-XXXXXX)
trap 'rm -rf "$dir"' EXIT

# Run services; their details go to $dir/NAME.json.
services() {
	local name=$1
	shift
	"$perf" services --idle sleep --pool 64MiB --span 4s --rate 1k \
		--details "$dir/$name.json" "$@" >"$dir/$name.txt" 2>&1 || {
		# 1 may be losses on a busy machine; nothing measured is worse.
		[ -s "$dir/$name.json" ] || {
			cat "$dir/$name.txt"
			exit 1
		}
	}
}

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
case "$1" in
errors)
	common=(-t chain:4 --nodes 4 --symptom failing --at service2
		--trigger exception)
	services all "${common[@]}" --edge 0.1
	for limit in 1 5; do
		rate=$(python3 "$here/show.py" volume "$dir/all.json" "$limit")
		services "limit-$limit" "${common[@]}" --edge 0.1 \
			--byte-rate "${rate}B"
		services "few-$limit" "${common[@]}" --edge 0.005 \
			--byte-rate "${rate}B"
	done
	;;
latency)
	common=(-t chain:3 --nodes 3 --work sleep --symptom slow --slow 20ms
		--edge 0.1)
	for p in 90 95 99; do
		services "p$p" "${common[@]}" --trigger "percentile:$p"
	done
	services head "${common[@]}" --trigger none --tracer fabric-head:0.05
	;;
queue)
	services queue -t two --at service2 --trigger queue:99 --edge 0 \
		--burst 2s,10,15ms --all-truths --truths "$dir/queue.csv"
	;;
esac
python3 "$here/show.py" "$1" "$dir"
