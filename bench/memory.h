/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: plain memory as bare appends use it: shared and populated like a
 * pool, of a pool's size, walked round and round.
 */
#ifndef HS_BENCH_MEMORY_H
#define HS_BENCH_MEMORY_H

#include "base/memfd.h"
#include "bench/bench.h"

struct hs_bench_memory {
	struct hs_memfd memfd;
	uint8_t *base;
	size_t pos, size_bytes;
	const uint8_t *data;
	uint32_t data_bytes;
};

int hs_bench_memory_make(struct hs_bench_memory *m, size_t size_bytes,
			 const void *data, uint32_t data_bytes);
void hs_bench_memory_free(struct hs_bench_memory *m);

/* Append @n times. @context: struct hs_bench_memory. */
void hs_bench_append(void *context, uint32_t n);
void hs_bench_append_stamped(void *context, uint32_t n);

#endif
