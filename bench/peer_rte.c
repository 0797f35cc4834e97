/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a peer: DPDK's rte_trace, an event of four u64, overwrite mode.
 */
#include <bench/peer_rte.inc>

#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_trace.h>

#include "bench/bench.h"

static int start(int cpu)
{
	char cores[16];
	char *argv[] = {
		"hs-perf",
		"--no-huge",
		"--no-shconf",
		"--no-pci",
		"--no-telemetry",
		"--log-level=1",
		"-m",
		"64",
		"-l",
		cores,
		"--trace-mode=overwrite",
		"--trace=hs.bench.event",
		NULL,
	};

	snprintf(cores, sizeof(cores), "%d", cpu);
	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0)
		return -1;
	rte_trace_point_enable(&__hs_bench_event);
	rte_trace_mode_set(RTE_TRACE_MODE_OVERWRITE);
	return rte_trace_point_is_enabled(&__hs_bench_event) ? 0 : -1;
}

static void run(void *data, uint32_t n)
{
	uint64_t v[4];

	memcpy(v, data, sizeof(v));
	for (uint32_t i = 0; i < n; i++)
		hs_bench_event(v[0], v[1], v[2], v[3]);
}

static void stop(void)
{
	rte_trace_point_disable(&__hs_bench_event);
	rte_eal_cleanup();
}

__attribute__((visibility("default")))
const struct hs_bench_peer hs_bench_peer = {
	.name = "rte_trace",
	.start = start,
	.run = run,
	.stop = stop,
};
