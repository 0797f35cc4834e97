#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Build, then run the fabric for a long time.
set -euo pipefail
. dev.d/lib.sh
packages_need "${packages_build[@]}"
build_dir build
link_programs
exec bash tests/e2e/soak.sh "$@"
