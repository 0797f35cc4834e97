/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what the percentile trigger costs, on real durations. */
#ifndef HS_BENCH_PERCENTILE_H
#define HS_BENCH_PERCENTILE_H

#include "bench/bench.h"

/** hs_bench_percentiles() - percentile_p99 and percentile_p9999 */
void hs_bench_percentiles(struct hs_bench_report *report, uint32_t rounds);

#endif
