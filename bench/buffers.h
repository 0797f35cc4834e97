/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: appends that do what any library must that others read behind:
 * where to write next is kept in memory, since each call comes from somewhere
 * else, and the length of what may be read is stored behind each record. What
 * a bare append has less is thereby told from what the library adds.
 */
#ifndef HS_BENCH_BUFFERS_H
#define HS_BENCH_BUFFERS_H

#include "bench/memory.h"

#define HS_BENCH_BUFFERS_SIZES 4u

/* Plain memory in parts of one length, and each part in buffers of one size. */
struct hs_bench_buffers {
	const struct hs_bench_memory *memory;
	uint32_t nr_sizes;
	uint32_t next;			   /* size, of the buffer to come */
	uint32_t pos, end;		   /* within the present buffer */
	uint8_t *base;			   /* NULL: none yet */
	size_t at[HS_BENCH_BUFFERS_SIZES]; /* of that size, the next one */
};

/**
 * hs_bench_buffers_make() - buffers in @memory
 * @growing: as a trace's: first a small one, then longer ones, each size in a
 *	     place of its own; else of one size, one behind the other
 */
void hs_bench_buffers_make(struct hs_bench_buffers *b,
			   const struct hs_bench_memory *memory, bool growing);

/* Records of 32 bytes, @n a multiple of HS_CLIENT_POINTS_OF_TRACE. @context:
 * struct hs_bench_buffers. */
void hs_bench_append_published(void *context, uint32_t n);

#endif
