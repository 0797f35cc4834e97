/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what storing is compared with: a program that writes bytes one after
 * the other into a file and syncs it now and then.
 */
#ifndef HS_BENCH_PLAIN_WRITER_H
#define HS_BENCH_PLAIN_WRITER_H

#include <stdint.h>

struct hs_bench_written {
	uint64_t ns, bytes;
};

/**
 * hs_bench_write_plainly() - @bytes of them, and an fdatasync each @every bytes
 * @folder: where the file is made, and removed
 * @next: the next piece of bytes and its length
 * Return: 0 or -errno.
 */
int hs_bench_write_plainly(const char *folder, uint64_t bytes, uint64_t every,
			   const void *(*next)(void *ctx, uint32_t *bytes),
			   void *ctx, struct hs_bench_written *out);

#endif
