/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: ours in hs-perf index: the index without the rest of the core.
 */
#ifndef HS_BENCH_INDEX_LAYER_H
#define HS_BENCH_INDEX_LAYER_H

#include "bench/index.h"

/* @n cycles of a struct hs_bench_index. */
void hs_bench_index_layer_run(void *context, uint32_t n);

#endif
