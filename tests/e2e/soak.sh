#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What takes long. Each part prints as it goes and leaves its figures in
# FOLDER, in the format of docs/BENCH.md:
#   soak.sh [--minutes 60] [--kills 200] [--cuts 50] [--rounds 0]
#           [--out FOLDER]
# churn of processes and threads for so many minutes; an agent's worker killed
# so many times under load; adoption of a full pool of 1 GiB; the power of a
# collector's node cut so many times in a guest; and, where the large sets are,
# all of them replayed at the source's own speed and at fifty times it, so many
# times over.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
here=tests/e2e
replay=${HS_BUILD:-build}/tools/hs-replay
data=${HS_SHARED_DATA:-../shared/data}
minutes=60
kills=200
cuts=50
rounds=0
out=build/soak

usage() {
	sed -n '3,12s/^# \?//p' "$here/soak.sh"
	exit "$1"
}

while [ $# -gt 0 ]; do
	case "$1" in
	-h | --help) usage 0 ;;
	--minutes | --kills | --cuts | --rounds | --out)
		[ $# -gt 1 ] || usage 2
		declare "${1#--}=$2"
		shift 2
		;;
	*) usage 2 >&2 ;;
	esac
done
mkdir -p "$out"

failed=0
part() {
	local name=$1
	shift
	echo "soak: $name"
	"$@" || case $? in
	77) echo "soak: $name skipped" ;;
	5) echo "soak: $name was slower than asked, and good otherwise" ;;
	*)
		echo "soak: $name failed"
		failed=$((failed + 1))
		;;
	esac
}

one() {
	local seed=$1 speed=$2 share=$3
	shift 3
	part "replay speed=$speed share=$share seed=$seed ${*: -1}" \
		"$replay" --nodes 5 --seed "$seed" --speed "$speed" \
		--trigger "share=$share" "$@"
}

round() {
	local seed=$1 set speed share
	for set in hotel_load100 media_load50 node_load50; do
		for speed in 1 50; do
			for share in 0.01 1; do
				one "$seed" "$speed" "$share" \
					"$data/traceweaver/$set.tar.xz"
			done
		done
	done
	for share in 0.01 1; do
		one "$seed" 50 "$share" --format nezha-csv \
			"$data"/nezha/onlineboutique_*.tar.xz
	done
}

if [ "$kills" -gt 0 ]; then
	part kills python3 "$here/kills.py" storm --kills "$kills" \
		--json "$out/kills.json"
	part adoption python3 "$here/kills.py" adoption --kills 20 \
		--pool 1GiB --json "$out/adoption.json"
fi
if [ "$cuts" -gt 0 ]; then
	part powercut python3 tests/vm/powercut.py --cuts "$cuts"
fi
if [ "$rounds" -gt 0 ] && [ ! -d "$data/traceweaver" ]; then
	echo "soak: the traces are missing: HS_SHARED_DATA=$data" >&2
	exit 77
fi
for ((seed = 1; seed <= rounds; seed++)); do
	round "$seed"
done
if [ "$minutes" != 0 ]; then
	part churn python3 "$here/soak.py" --minutes "$minutes" \
		--json "$out/churn.json"
fi
echo "soak: failed=$failed, figures in $out"
[ "$failed" -eq 0 ]
