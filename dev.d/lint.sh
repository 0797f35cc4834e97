#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# clang-format, clang-tidy, and the tidy of our own. `./dev lint own` and
# `./dev lint format` and `./dev lint tidy` run one of the three.
set -euo pipefail
. dev.d/lib.sh
packages_need "${packages_build[@]}" clang-format clang-tidy

what=${1:-all}
case "$what" in
all | own | format | tidy) ;;
*) die "lint takes own, format or tidy, not '$what'" ;;
esac
rc=0
if [ "$what" = all ] || [ "$what" = own ]; then
	python3 tools/lint/lint.py || rc=1
fi
if [ "$what" = all ] || [ "$what" = format ]; then
	python3 tools/lint/lint.py --list-sources |
		xargs -r -d '\n' clang-format --dry-run --Werror || rc=1
fi
if [ "$what" = all ] || [ "$what" = tidy ]; then
	build_dir build >/dev/null
	# One file a run: clang-tidy 14 given several takes every va_list of
	# the later ones for uninitialised.
	python3 tools/lint/lint.py --list-compiled build |
		xargs -r -d '\n' -n 1 -P "$(nproc)" clang-tidy --quiet -p build \
			2>/dev/null || rc=1
fi
[ "$rc" -eq 0 ] && say "lint: clean" || say "lint: see above"
exit "$rc"
