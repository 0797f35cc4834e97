#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The whole sets at the source's own speed and at fifty times it, everything
# triggered and a hundredth of it, over and over for as long as asked:
#   soak.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
replay=${HS_BUILD:-build}/tools/hs-replay
data=${HS_SHARED_DATA:-../shared/data}
rounds=${1:-1}

if [ ! -d "$data/traceweaver" ]; then
	echo "soak: the traces are missing: HS_SHARED_DATA=$data" >&2
	exit 77
fi

failed=0
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

one() {
	local seed=$1 speed=$2 share=$3
	shift 3
	echo "soak: speed=$speed share=$share seed=$seed ${*: -1}"
	"$replay" --nodes 5 --seed "$seed" --speed "$speed" \
		--trigger "share=$share" "$@" || failed=$((failed + 1))
}

for seed in $(seq "$rounds"); do
	round "$seed"
done
echo "soak: rounds=$rounds failed=$failed"
[ "$failed" -eq 0 ]
