#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Build, then show one trace's whole life.
set -euo pipefail
. dev.d/lib.sh
packages_need "${packages_build[@]}"
build_dir build
link_programs
exec bash tests/e2e/demo.sh "$@"
