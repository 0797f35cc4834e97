#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which lines the tests reach. The number is for finding what was forgotten.
set -euo pipefail
. dev.d/lib.sh
packages_need "${packages_build[@]}" gcovr
build_dir build-cov -Db_coverage=true -Doptimization=0
find build-cov -name '*.gcda' -delete
rc=0
test_dir build-cov --no-suite lint -t 2 "$@" || rc=1
mkdir -p build-cov/coverage
gcovr --root . --exclude tests/ --exclude-unreachable-branches \
	--html-details build-cov/coverage/index.html --txt - build-cov
say "by line: build-cov/coverage/index.html"
exit "$rc"
