/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: the processors that contenders run on. */
#include <sched.h>
#include <unistd.h>

#include "bench/bench.h"

int hs_bench_nr_cpus(void)
{
	return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

void hs_bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	/* Not allowed: then it runs where it may, and the stalls show. */
	(void)sched_setaffinity(0, sizeof(set), &set);
}
