/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the cost of an operation at the highest rate at which nothing is
 * lost: at full speed where that holds, else at the rate found by halving.
 */
#ifndef HS_BENCH_PACE_H
#define HS_BENCH_PACE_H

#include "bench/bench.h"

/*
 * @records: of one operation, each of which may be lost
 * @span_ns: how long each rate tried is kept up
 */
void hs_bench_pace(struct hs_bench_result *r, const struct hs_bench_op *op,
		   uint32_t records, uint64_t span_ns);

#endif
