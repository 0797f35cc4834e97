/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: ways to append long records to plain memory that the library does
 * not take, each beside it in a run: what ADR 40 says of them stands by these.
 *
 * As a trace's, a record begins wherever the one before it ended, and is
 * there for another core when the append is over, but where it is said that it
 * may not be.
 */
#ifndef HS_BENCH_COPIES_H
#define HS_BENCH_COPIES_H

#include "bench/memory.h"

/* Of a record, before its bytes. */
#define HS_BENCH_COPY_HEAD_BYTES 10u

/* Context of each: struct hs_bench_memory. */

/* Whole lines past the caches, the rest as usual, then a store fence. */
void hs_bench_append_streamed(void *context, uint32_t n);
/* Without the fence: others may see a record's length before its bytes. */
void hs_bench_append_unfenced(void *context, uint32_t n);
/* By the processor's own string move. */
void hs_bench_append_string(void *context, uint32_t n);

#endif
