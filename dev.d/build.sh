#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Compile everything into build/.
set -euo pipefail
. dev.d/lib.sh
packages_need "${packages_build[@]}"
build_dir build
link_programs
