/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what tracing costs when several threads trace at once. */
#ifndef HS_BENCH_CLIENT_THREADS_H
#define HS_BENCH_CLIENT_THREADS_H

#include "bench/bench.h"

#define HS_CLIENT_THREADS_MAX 64u

struct hs_client_threads_config {
	uint32_t threads; /* at most; 1: nothing is measured */
	uint32_t rounds;
	uint64_t pace_ns;
	const char *only; /* figures that begin with it; NULL: all */
	int agent_cpu;
};

/**
 * hs_client_threads() - 2, 4, 8 of them and so on, and @threads
 *
 * Each figure is a thread's, while so many do the same, each on a core of its
 * own. Its ratio `one_thread` is over one of them in the same turns.
 * Return: 0 or -errno.
 */
int hs_client_threads(struct hs_bench_report *report,
		      const struct hs_client_threads_config *config);
/**
 * hs_client_threads_names() - of what hs_client_threads() would measure
 * Own: the names are constant once asked for. Return: how many.
 */
size_t hs_client_threads_names(uint32_t threads, const char **names,
			       size_t room);
/** hs_client_threads_most() - as many as have a core beside the agent's */
uint64_t hs_client_threads_most(void);

#endif
