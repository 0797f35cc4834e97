#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Build, then run the fabric for a long time: fairness and the event horizon in
# virtual time first.
set -euo pipefail
. dev.d/lib.sh
packages_need "${packages_build[@]}"
build_dir build
link_programs
[ ! -x build/bin/hs-perf ] ||
	build/bin/hs-perf fairness --seconds 120 --check
exec bash tests/e2e/soak.sh "$@"
