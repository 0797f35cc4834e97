/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the load: requests at the times when they are meant to come, whoever
 * is ready or not (open loop), each stamped from that time; and the truth about
 * them, to hold what was captured against.
 *
 * Context: one thread; beside a loop in its thread, or alone in a process.
 */
#ifndef HS_BENCH_SERVICES_GENERATOR_H
#define HS_BENCH_SERVICES_GENERATOR_H

#include "base/random.h"
#include "bench/services/draw.h"
#include "bench/services/world.h"

struct hs_svc_request {
	uint64_t due; /* ticks */
	bool in_span; /* it was sent while measuring */
	struct hs_svc_truth truth;
};

struct hs_svc_generator {
	struct hs_svc_world *world;
	struct hs_svc_generator_stats *stats;
	struct hs_random random;
	struct hs_svc_end *calls, *replies; /* by loop */
	struct hs_svc_links links;	    /* none over shared memory */
	struct hs_svc_traffic before;	    /* the span */
	uint16_t *loops;
	uint32_t nr_loops;
	struct hs_svc_request *requests;
	uint32_t *free;
	uint32_t nr_free;
	struct hs_svc_draw *entries; /* by api */
	double next, gap;	     /* ticks */
	double ns_per_tick;
	uint64_t start, begin, end, drain; /* ticks */
	enum hs_svc_phase phase;
	uint32_t burst_left;
};

/** hs_svc_generator_open() - Own: hs_svc_generator_close() */
int hs_svc_generator_open(struct hs_svc_generator *g,
			  struct hs_svc_world *world);
void hs_svc_generator_close(struct hs_svc_generator *g);
/** hs_svc_generator_start() - the warm-up begins now */
void hs_svc_generator_start(struct hs_svc_generator *g);
/** hs_svc_generator_poll() - a round. Return: requests and replies */
uint32_t hs_svc_generator_poll(struct hs_svc_generator *g);

#endif
