#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Lay every C file out by .clang-format.
set -euo pipefail
. dev.d/lib.sh
packages_need clang-format
python3 tools/lint/lint.py --list-sources | xargs -r -d '\n' clang-format -i
