/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what hs-perf lend and its module (peer_lend.c) share: the lcore of
 * an application that lends a port, which is DPDK's net_null.
 */
#ifndef HS_BENCH_LEND_H
#define HS_BENCH_LEND_H

#include "bench/bench.h"

struct hs_bench_lend {
	struct hs_bench_peer peer; /* start() starts DPDK */
	/* 0 or -errno, of hs_lend_open(). */
	int (*open)(const char *socket, uint16_t mtu);
	/* hs_lend_renew(): whether the agent has the port. */
	bool (*lent)(void);
	/* Rounds until @n more frames have gone; false: none went any more. */
	bool (*send)(uint32_t n);
	/* @n rounds that find nothing. */
	void (*idle)(uint32_t n);
	/* The same @n frames, by the application for itself: mbufs of its pool,
	 * headers, a copy, bursts. @bytes of each, from @from onward. */
	void (*own)(uint32_t n, const uint8_t *from, uint32_t step,
		    uint32_t bytes);
	void (*close)(void);
};

#endif
