#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The tests under AddressSanitizer with UndefinedBehaviorSanitizer, and under
# ThreadSanitizer, each in a build of its own. The checks of the source text
# are left out: they are the same in every build.
set -euo pipefail
. dev.d/lib.sh
packages_need "${packages_build[@]}"

what=${1:-both}
[ $# -eq 0 ] || shift
case "$what" in
asan | tsan | both) ;;
*) die "sanitize takes asan or tsan, not '$what'" ;;
esac

rc=0
if [ "$what" != tsan ]; then
	# gcc 12 tests the address of a thread's variable by the flags of an
	# addition that the linker makes an lea, which sets none: it then takes
	# whatever stands there for a null pointer. It believes that there may
	# be one as long as any of these three looks for null pointers.
	null=null,nonnull-attribute,returns-nonnull-attribute
	build_dir build-asan -Db_sanitize=address,undefined -Db_lundef=false \
		-Dc_args="-fno-sanitize=$null"
	export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
	export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
	say "AddressSanitizer and UndefinedBehaviorSanitizer"
	test_dir build-asan --no-suite lint -t 4 "$@" || rc=1
fi
if [ "$what" != asan ]; then
	# Between what it adds gcc 12 takes a structure for its first member,
	# and warns of whoever clears all of it.
	build_dir build-tsan -Db_sanitize=thread -Db_lundef=false \
		-Dc_args=-Wno-stringop-overflow
	export TSAN_OPTIONS="halt_on_error=1:suppressions=$PWD/dev.d/tsan.supp"
	say "ThreadSanitizer"
	# Without address randomisation: this sanitizer refuses to start where
	# the kernel scatters mappings over more bits than it expects.
	if setarch -R true 2>/dev/null; then
		test_prefix=(setarch -R)
	fi
	test_dir build-tsan --no-suite lint -t 8 "$@" || rc=1
fi
exit "$rc"
