/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the cost of an operation at the highest rate at which nothing is
 * lost: at full speed where that holds, else at the rate found by halving.
 */
#ifndef HS_BENCH_PACE_H
#define HS_BENCH_PACE_H

#include "bench/bench.h"

/* Of what is paced. */
struct hs_bench_paced {
	uint32_t records; /* of one operation, each of which may be lost */
	uint32_t threads; /* that do it at once, by one call; 0: 1 */
	uint32_t batch;	  /* operations of a thread by one call; 0: 32 */
};

/* @span_ns: how long each rate tried is kept up */
void hs_bench_pace(struct hs_bench_result *r, const struct hs_bench_op *op,
		   const struct hs_bench_paced *paced, uint64_t span_ns);

#endif
