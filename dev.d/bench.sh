#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measure. What hs-perf can do, `./dev bench --help` tells.
set -euo pipefail
. dev.d/lib.sh
packages_need "${packages_build[@]}" "${packages_bench[@]}"
build_dir build
link_programs
[ -x build/bin/hs-perf ] || die "the build made no hs-perf"
exec build/bin/hs-perf "$@"
