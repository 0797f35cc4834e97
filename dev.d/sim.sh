#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Drive the fabric's logic under virtual time: hs-sim where it is built, else
# the simulator's tests one after another.
set -euo pipefail
. dev.d/lib.sh
packages_need "${packages_build[@]}"
build_dir build
if [ -x build/tests/sim/hs-sim ]; then
	exec build/tests/sim/hs-sim "$@"
fi
ran=0
for program in build/tests/sim/test_*; do
	if [ -f "$program" ] && [ -x "$program" ]; then
		"$program" "$@"
		ran=1
	fi
done
[ "$ran" -eq 1 ] || die "the build made no simulator"
