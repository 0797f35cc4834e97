/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what a value costs that an autotrigger sees; the
 * percentile triggers, on real durations. */
#ifndef HS_BENCH_AUTOTRIGGERS_H
#define HS_BENCH_AUTOTRIGGERS_H

#include "bench/bench.h"

/** hs_bench_autotriggers() - percentile_*, category_1 and set_10 */
void hs_bench_autotriggers(struct hs_bench_report *report, uint32_t rounds);

#endif
