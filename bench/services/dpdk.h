/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what hs-perf services and its module for calls over DPDK
 * (peer_services.c) share. A connection is a port of memif at each end; a frame
 * holds as many messages as are there, up to 31. Ports push back, so that a
 * message which is not taken stays in its ring, as over TCP.
 *
 * Context: start() once in a process, on any thread; the others on the thread
 * whose link it is.
 */
#ifndef HS_BENCH_SERVICES_DPDK_H
#define HS_BENCH_SERVICES_DPDK_H

#include "bench/bench.h"
#include "bench/services/link.h"

/* As DPDK is built by Debian. */
#define HS_SVC_DPDK_PORTS_MAX 32u

struct hs_svc_dpdk {
	struct hs_bench_peer peer; /* start() starts DPDK */
	/**
	 * A port for @link, whose ops are set.
	 * @name: of the connection, unique on this machine
	 * @serves: which end it is; the other one looks for it
	 * Own: the link's close(). Return: 0 or -errno.
	 */
	int (*open)(struct hs_svc_link *link, const char *name, bool serves);
	/* Whether the other end is there, which has to be asked for. */
	bool (*is_up)(struct hs_svc_link *link);
};

#endif
