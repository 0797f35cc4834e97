#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One seed, one run: whatever compiler and optimisation hs-sim was built with,
# its digest over the same seeds is the same. Compilers that are not installed
# are left out, and said to be.
#   tests/sim/digest.sh [SEEDS]
set -eu
cd "$(dirname "$0")/../.."
seeds=${1:-20}
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
first=
for compiler in gcc clang; do
	if ! command -v "$compiler" >/dev/null; then
		echo "digest: no $compiler here"
		continue
	fi
	for level in 0 2; do
		build=$top/$compiler-$level
		CC=$compiler meson setup "$build" --optimization="$level" \
			>"$build.log" 2>&1 &&
			ninja -C "$build" tests/sim/hs-sim >>"$build.log" 2>&1 || {
			tail -20 "$build.log" >&2
			exit 1
		}
		line=$("$build/tests/sim/hs-sim" --seeds "$seeds" --no-shrink \
			--quiet)
		digest=${line##*digest=}
		echo "digest: $compiler -O$level seeds=$seeds $digest"
		: "${first:=$digest}"
		if [ "$digest" != "$first" ]; then
			echo "digest: differs from $first" >&2
			exit 1
		fi
	done
done
