/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what hs-perf lend, hs-perf ship and the module (peer_lend.c) share:
 * the lcore of an application that lends a port.
 */
#ifndef HS_BENCH_LEND_H
#define HS_BENCH_LEND_H

#include "bench/bench.h"

struct hs_bench_lend_port {
	const char *vdev; /* as EAL's --vdev; of the first open() only */
	const char *socket;
	const char *address;
	const char *neighbour; /* NULL: asked for by ARP */
	uint16_t mtu;
};

struct hs_bench_lend {
	struct hs_bench_peer peer;
	/* Starts DPDK the first time. 0 or -errno. */
	int (*open)(const struct hs_bench_lend_port *port);
	/* hs_lend_renew(): whether the agent has the port. */
	bool (*lent)(void);
	/* Rounds until @n more frames have gone; false: none went any more. */
	bool (*send)(uint32_t n);
	/* @n rounds that find nothing. */
	void (*idle)(uint32_t n);
	/* Rounds until @over says so, as an lcore makes them. */
	void (*serve)(bool (*over)(const void *context), const void *context);
	/* The same @n frames, by the application for itself: mbufs of its pool,
	 * headers, a copy, bursts. @bytes of each, from @from onward. */
	void (*own)(uint32_t n, const uint8_t *from, uint32_t step,
		    uint32_t bytes);
	void (*close)(void);
};

#endif
