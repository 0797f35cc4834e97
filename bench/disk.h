/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what hs-perf disk and its peer's module (peer_uring.c) share. */
#ifndef HS_BENCH_DISK_H
#define HS_BENCH_DISK_H

#include "bench/bench.h"

#define HS_BENCH_DISK_WRITE_BYTES (4u << 20) /* at once, as a store does */

struct hs_bench_disk_uring {
	struct hs_bench_peer peer; /* start(): -errno without io_uring */
	/*
	 * Writes of at most HS_BENCH_DISK_WRITE_BYTES and an fdatasync behind
	 * them, linked, in one system call; @data stays until wait().
	 * 0 or -errno.
	 */
	int (*submit)(int fd, const uint8_t *data, uint32_t bytes, uint64_t at);
	/* Until what was submitted is durable. 0 or -errno. */
	int (*wait)(void);
};

#endif
