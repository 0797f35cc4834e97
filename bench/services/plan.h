/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: which service runs where: services are grouped into nodes, each of
 * which has an agent; a node has processes, a process has loops (threads that
 * run calls to completion), a loop has services. Pure.
 */
#ifndef HS_BENCH_SERVICES_PLAN_H
#define HS_BENCH_SERVICES_PLAN_H

#include "bench/services/topology.h"

#define HS_SVC_NODES_MAX 64u
#define HS_SVC_LOOPS_MAX 512u
#define HS_SVC_NO_PAIR	 UINT32_MAX

enum hs_svc_as { HS_SVC_AS_THREADS, HS_SVC_AS_PROCESSES };

struct hs_svc_plan {
	uint32_t nr_nodes, nr_processes, nr_loops, nr_pairs;
	uint16_t node_of_process[HS_SVC_LOOPS_MAX];
	uint16_t process_of_loop[HS_SVC_LOOPS_MAX];
	uint16_t loop_of_service[HS_SVC_SERVICES_MAX];
	uint16_t services_of_loop[HS_SVC_LOOPS_MAX]; /* how many */
	/* Who calls whom, the generator as the loop nr_loops: number of a pair
	 * of rings, HS_SVC_NO_PAIR for none. Row: caller. */
	uint32_t pair[HS_SVC_LOOPS_MAX + 1][HS_SVC_LOOPS_MAX + 1];
};

/**
 * hs_svc_plan_make() - spread services over nodes by what they are called
 * @threads: of each node's process, with HS_SVC_AS_THREADS
 *
 * The most called service goes first to the node that has least so far; the
 * same for loops within a node.
 * Return: 0; -E2BIG for more loops than HS_SVC_LOOPS_MAX.
 */
int hs_svc_plan_make(struct hs_svc_plan *plan, const struct hs_svc_topology *t,
		     uint32_t nr_nodes, enum hs_svc_as as, uint32_t threads);

#endif
