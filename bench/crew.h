/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: threads that do the same at the same time, each on a core of its
 * own, so that hs_bench_turns() and hs_bench_pace() can time them as one.
 */
#ifndef HS_BENCH_CREW_H
#define HS_BENCH_CREW_H

#include "bench/bench.h"

struct hs_bench_crew;

/*
 * What each thread of a crew does, as the context of hs_bench_crew_run().
 * Own: the caller's, as is what @contexts points to.
 */
struct hs_bench_crew_work {
	struct hs_bench_crew *crew;
	void (*run)(void *context, uint32_t n);
	void *const *contexts; /* one for each thread */
	uint32_t threads;      /* the first ones of the crew; the others rest */
};

/**
 * hs_bench_crew_start() - @threads of them, on the cores from 0 on
 *
 * The caller is the first, and is pinned.
 * Own: hs_bench_crew_end(). Return: NULL where no thread can be made.
 */
struct hs_bench_crew *hs_bench_crew_start(uint32_t threads);
void hs_bench_crew_end(struct hs_bench_crew *crew);

/* An hs_bench_op: all begin at once, and it is over when the last one is. */
void hs_bench_crew_run(void *context, uint32_t n);
/* Its settle: who sleeps is woken, untimed. */
void hs_bench_crew_wake(void *context);
/* Its took: the mean of what each thread took for its own. One that loses its
 * core for a while makes all of them late, but not all of them slow. */
uint64_t hs_bench_crew_took(const void *context);

#endif
