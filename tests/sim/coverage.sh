#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which lines, and which steps of state machines, of the pure files the simulator
# reaches, in a build of its own.
#
#	tests/sim/coverage.sh [SEEDS]		(default 300; wants gcovr)
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
build=build-sim-coverage
[ -e "$build/build.ninja" ] ||
	meson setup "$build" -Db_coverage=true -Dtransitions=true \
		-Dverbs=disabled \
		-Ddpdk=disabled -Dlttng=disabled >/dev/null
ninja -C "$build" tests/sim/hs-sim
find "$build" -name '*.gcda' -delete
"$build/tests/sim/hs-sim" --seeds "${1:-300}" --no-shrink --quiet --coverage
gcovr -r . --object-directory "$build" "$build" --filter 'agent/core.*\.c' \
	--filter 'coordinator/core.*\.c' --filter 'collector/assembly.*\.c' \
	--filter 'rdma/wire.*\.c' --filter 'agent/tally\.c' --filter 'ship/proto_.*\.c'
