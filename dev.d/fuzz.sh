#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ./dev fuzz [seconds] [target...]: each tests/fuzz/fuzz_NAME.c for so many
# seconds (60) under libFuzzer with ASan and UBSan. The known inputs are in
# tests/fuzz/corpus/NAME; what the run finds goes to build-fuzz/corpus/NAME
# and stays there, what crashes to build-fuzz/NAME-crash-* (or -leak-, -timeout-).
set -euo pipefail
. dev.d/lib.sh
packages_need "${packages_build[@]}" clang libclang-rt-14-dev llvm

seconds=60
if [[ "${1:-}" =~ ^[0-9]+$ ]]; then
	seconds=$1
	shift
fi
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
	for source in tests/fuzz/fuzz_*.c; do
		name=${source##*/fuzz_}
		# fuzz_main.c is what runs them all where there is no libFuzzer
		[ "$name" = main.c ] || targets+=("${name%.c}")
	done
fi
for name in "${targets[@]}"; do
	[ -f "tests/fuzz/fuzz_$name.c" ] ||
		die "there is no tests/fuzz/fuzz_$name.c"
done

sanitizers=-fsanitize=fuzzer-no-link,address,undefined
CC=clang setup_dir build-fuzz -Db_lundef=false -Dc_args="$sanitizers" \
	-Dc_link_args="$sanitizers"

# Only the archives: programs and libraries would miss the fuzzer's runtime.
# All of them are offered; the linker takes what is used.
mapfile -t archives <<<"$(ninja -C build-fuzz -t targets all |
	sed -n 's/^\([^ ]*\.a\): .*/\1/p' | sort)"
ninja -C build-fuzz "${archives[@]}" </dev/null
archives=("${archives[@]/#/build-fuzz/}")
read -ra libraries <<<"$(pkg-config --libs jansson sqlite3 libzstd \
	libarchive yaml-0.1 libmicrohttpd libcurl libibverbs librdmacm hwloc \
	liburcu liburcu-qsbr)"
rc=0
for name in "${targets[@]}"; do
	dpdk=()
	# Of its mbufs, without DPDK running.
	[ "$name" != net ] || read -ra dpdk <<<"-DALLOW_EXPERIMENTAL_API \
		$(pkg-config --cflags --libs libdpdk | tr '\n' ' ')"
	clang -std=gnu11 -g -O1 -D_GNU_SOURCE -I. -Iinclude \
		-fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined "tests/fuzz/fuzz_$name.c" \
		-Wl,--start-group "${archives[@]}" -Wl,--end-group \
		"${libraries[@]}" "${dpdk[@]}" -lresolv -lm -pthread -o "build-fuzz/fuzz_$name"
	mkdir -p "build-fuzz/corpus/$name"
	corpus=("build-fuzz/corpus/$name")
	[ ! -d "tests/fuzz/corpus/$name" ] ||
		corpus+=("tests/fuzz/corpus/$name")
	say "fuzzing $name for $seconds s"
	"build-fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 \
		-print_final_stats=1 -artifact_prefix="build-fuzz/$name-" \
		"${corpus[@]}" </dev/null || rc=1
done
exit "$rc"
