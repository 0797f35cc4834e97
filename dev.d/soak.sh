#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Build, then run the fabric for a long time: fairness and the event horizon in
# virtual time first. `./dev soak kill` instead kills clients and workers at
# every instruction.
set -euo pipefail
. dev.d/lib.sh
packages_need "${packages_build[@]}"
build_dir build
link_programs
if [ "${1:-}" = kill ]; then
	build/tests/kill/kill_client 1
	build/tests/kill/kill_connect 101
	exec build/tests/kill/kill_worker 0
fi
[ ! -x build/bin/hs-perf ] ||
	build/bin/hs-perf fairness --seconds 120 --loads 20000,28000 --check
exec bash tests/e2e/soak.sh "$@"
