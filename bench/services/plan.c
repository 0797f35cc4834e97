/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see plan.h. */
#include "bench/services/plan.h"

#include <errno.h>
#include <string.h>

static uint32_t least(const double *load, uint32_t from, uint32_t nr)
{
	uint32_t best = from;

	for (uint32_t i = from + 1; i < from + nr; i++)
		if (load[i] < load[best])
			best = i;
	return best;
}

/* The most called one that has no place yet. */
static uint32_t next_service(const double *visits, const bool *placed,
			     uint32_t nr)
{
	uint32_t best = nr;

	for (uint32_t i = 0; i < nr; i++)
		if (!placed[i] && (best == nr || visits[i] > visits[best]))
			best = i;
	return best;
}

static void pairs(struct hs_svc_plan *p, const struct hs_svc_topology *t)
{
	for (uint32_t a = 0; a <= p->nr_loops; a++)
		for (uint32_t b = 0; b <= p->nr_loops; b++)
			p->pair[a][b] = HS_SVC_NO_PAIR;
	for (uint32_t e = 0; e < t->nr_edges; e++) {
		const struct hs_svc_edge *x = &t->edges[e];
		uint32_t a = p->loop_of_service[t->apis[x->out_of].service];
		uint32_t b = p->loop_of_service[t->apis[x->api].service];

		if (p->pair[a][b] == HS_SVC_NO_PAIR)
			p->pair[a][b] = p->nr_pairs++;
	}
	for (uint32_t i = 0; i < t->nr_apis; i++) {
		uint32_t b = p->loop_of_service[t->apis[i].service];

		if (t->apis[i].entry > 0 &&
		    p->pair[p->nr_loops][b] == HS_SVC_NO_PAIR)
			p->pair[p->nr_loops][b] = p->nr_pairs++;
	}
}

int hs_svc_plan_make(struct hs_svc_plan *p, const struct hs_svc_topology *t,
		     uint32_t nr_nodes, enum hs_svc_as as, uint32_t threads)
{
	double visits[HS_SVC_SERVICES_MAX] = {0};
	bool placed[HS_SVC_SERVICES_MAX] = {false};
	double node_load[HS_SVC_NODES_MAX] = {0};
	double loop_load[HS_SVC_LOOPS_MAX] = {0};
	/* A little for services that are hardly ever called, so that they are
	 * spread, too. */
	const double least_load = 1e-6;

	memset(p, 0, sizeof(*p));
	p->nr_nodes = nr_nodes;
	if (nr_nodes > HS_SVC_NODES_MAX || !nr_nodes ||
	    (as == HS_SVC_AS_THREADS ? nr_nodes * threads : t->nr_services) >
		    HS_SVC_LOOPS_MAX)
		return -E2BIG;
	if (as == HS_SVC_AS_THREADS) {
		p->nr_processes = nr_nodes;
		p->nr_loops = nr_nodes * threads;
		for (uint32_t i = 0; i < p->nr_loops; i++) {
			p->process_of_loop[i] = (uint16_t)(i / threads);
			p->node_of_process[i / threads] =
				(uint16_t)(i / threads);
		}
	}
	for (uint32_t i = 0; i < t->nr_apis; i++)
		visits[t->apis[i].service] += t->apis[i].visits;
	for (uint32_t k = 0; k < t->nr_services; k++) {
		uint32_t s = next_service(visits, placed, t->nr_services);
		uint32_t node = least(node_load, 0, nr_nodes);
		uint32_t loop;

		placed[s] = true;
		node_load[node] += visits[s] + least_load;
		if (as == HS_SVC_AS_THREADS) {
			loop = least(loop_load, node * threads, threads);
		} else {
			loop = p->nr_loops++;
			p->process_of_loop[loop] = (uint16_t)loop;
			p->node_of_process[loop] = (uint16_t)node;
			p->nr_processes = p->nr_loops;
		}
		loop_load[loop] += visits[s] + least_load;
		p->loop_of_service[s] = (uint16_t)loop;
		p->services_of_loop[loop]++;
	}
	pairs(p, t);
	return 0;
}
