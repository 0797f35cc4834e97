#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Within the guest of powercut.py: check every disk against what was
# acknowledged before the power failed, then let a collector store slices on
# the first one until it fails again.
# Usage: powercut.sh BUILD SCRATCH FIRST LEVEL INTERVAL [PRELOAD]
#   FIRST     number of the first trace to come; 0: only check
#   LEVEL     of compression
#   INTERVAL  of the collector's syncs
#   PRELOAD   for the collector alone
set -u

build=$1 scratch=$2 first=$3 level=$4 interval=$5 preload=${6-}
# Others first: the power may fail amid the mending of the first disk.
echo "OPENING"
stores=()
for disk in vdb vdc vdd vde vda; do
	[ -b /dev/$disk ] || continue
	mkdir -p /tmp/$disk
	mount -t ext4 /dev/$disk /tmp/$disk || {
		echo "RESULT $disk mount"
		continue
	}
	[ ! -e "$scratch/acks.$disk" ] ||
		stores+=("/tmp/$disk/store" "$scratch/acks.$disk")
done
if [ ${#stores[@]} -gt 0 ]; then
	"$build/tests/vm/cut_check" "${stores[@]}" 2>&1
	echo "RESULT check $?"
fi
[ "$first" != 0 ] || exit 0

cat >/tmp/collector.yaml <<EOF
control: {socket: /tmp/collector.sock}
listen: 127.0.0.1:7420
ship: {carrier: udp, bind: "127.0.0.1:7430"}
store: /tmp/vda/store
segment: 4MiB
zstd_level: $level
sync_interval: $interval
log: warn
EOF
LD_PRELOAD=$preload "$build/collector/hs-collector" \
	--config /tmp/collector.yaml &
"$build/tests/vm/cut_feed" 127.0.0.1:7430 127.0.0.1:7420 "$first"
echo "RESULT feed $?"
