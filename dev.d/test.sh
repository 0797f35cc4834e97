#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Install, build, test. Arguments go to `meson test`: a test's name, --suite.
set -euo pipefail
. dev.d/lib.sh
packages_need "${packages_build[@]}"
build_dir build
link_programs
test_dir build "$@"
