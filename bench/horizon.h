/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: coherence over the delay of triggers (the paper's figure 4b), and
 * what a node with a shorter memory than the others does to traces through it.
 */
#ifndef HS_BENCH_HORIZON_H
#define HS_BENCH_HORIZON_H

#include "bench/bench.h"

/** hs_horizon_measure() - @nr_rounds of load, in milliseconds */
void hs_horizon_measure(struct hs_bench_report *report, uint32_t nr_rounds);

#endif
