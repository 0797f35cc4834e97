#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One seed, one run: whatever compiler and optimisation hs-sim was built with,
# its digest over the same seeds is the same. Compilers that are not installed
# are left out, and said to be.
#   tests/sim/digest.sh [SEEDS]		gcc and clang, -O0 and -O2
#   tests/sim/digest.sh SEEDS HS-SIM	that one and clang -O0: one build only
set -eu
seeds=${1:-20}
first=
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT

# compare PROGRAM NAME
compare() {
	line=$("$1" --seeds "$seeds" --no-shrink --quiet)
	digest=${line##*digest=}
	echo "digest: $2 seeds=$seeds $digest"
	: "${first:=$digest}"
	if [ "$digest" != "$first" ]; then
		echo "digest: differs from $first" >&2
		exit 1
	fi
}

# build_and_compare COMPILER LEVEL
build_and_compare() {
	build=$top/$1-$2
	CC=$1 meson setup "$build" --optimization="$2" \
		-Dverbs=disabled -Ddpdk=disabled -Dlttng=disabled \
		>"$build.log" 2>&1 &&
		ninja -C "$build" tests/sim/hs-sim >>"$build.log" 2>&1 || {
		tail -20 "$build.log" >&2
		exit 1
	}
	compare "$build/tests/sim/hs-sim" "$1 -O$2"
}

if [ $# -gt 1 ]; then
	if ! command -v clang >/dev/null; then
		echo "digest: no clang here"
		exit 77
	fi
	compare "$2" "$2"
	cd "$(dirname "$0")/../.."
	build_and_compare clang 0
	exit
fi
cd "$(dirname "$0")/../.."
for compiler in gcc clang; do
	if ! command -v "$compiler" >/dev/null; then
		echo "digest: no $compiler here"
		continue
	fi
	build_and_compare "$compiler" 0
	build_and_compare "$compiler" 2
done
