#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Install, build, test. Arguments go to `meson test`: a test's name, --suite.
set -euo pipefail
. dev.d/lib.sh
packages_need "${packages_build[@]}"
packages_wish "${packages_guest[@]}"
build_dir build
link_programs
# Three times meson's patience: on a busy machine a slow test is not a hung one.
test_dir build -t 3 "$@"
