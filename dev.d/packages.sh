# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# The Debian 12 packages, in this one place. Lists, so that building and
# testing asks for no more than it uses.

# What ./dev build, test and demo need.
packages_build=(
	meson ninja-build pkg-config
	gcc g++ libc6-dev
	libcmocka-dev valgrind
	libjansson-dev libsqlite3-dev libzstd-dev libarchive-dev libyaml-dev
	libmicrohttpd-dev libcurl4-openssl-dev libssl-dev openssl liburcu-dev libhwloc-dev
	libibverbs-dev librdmacm-dev libdpdk-dev
	etcd-server
	python3 python3-prometheus-client xz-utils iproute2 ca-certificates curl
)

# What the tests in a guest need (tests/vm): RDMA devices, disks; without them
# those tests are skipped, and say so.
packages_guest=(
	qemu-system-x86 busybox-static cpio kmod xz-utils binutils
	rdma-core ibverbs-providers iproute2 e2fsprogs
)

# What ./dev fmt, lint, sanitize, coverage and fuzz need on top.
packages_workshop=(
	clang libclang-rt-14-dev llvm clang-format clang-tidy
	gcovr git
)

# What ./dev bench compares with. Without them there are no ratios to peers.
packages_bench=(
	liblttng-ust-dev lttng-tools liburing-dev
)
