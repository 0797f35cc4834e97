/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: how many traces an agent holds for each GB that it takes. */
#ifndef HS_BENCH_HELD_H
#define HS_BENCH_HELD_H

#include "bench/bench.h"

/** hs_bench_held() - traces_per_GB. Return: 0, or -errno without an agent */
int hs_bench_held(struct hs_bench_report *report, int agent_cpu);

#endif
