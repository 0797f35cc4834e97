/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where and when: services over nodes, and traces over time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/replay/plan.h"

#define IDLE_GAP_MAX_NS 2000000000ull

static int service_compare(struct hs_model_str a, struct hs_model_str b)
{
	int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

	if (order)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

/* Index of a service, or of where it would stand. */
static uint32_t service_find(const struct hs_replay_plan *plan,
			     struct hs_model_str service)
{
	uint32_t low = 0, high = plan->nr_services;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (service_compare(plan->services[mid], service) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int service_add(struct hs_replay_plan *plan, struct hs_model_str service)
{
	uint32_t at = service_find(plan, service);

	if (at < plan->nr_services &&
	    !service_compare(plan->services[at], service))
		return 0;
	if (plan->nr_services == plan->cap_services) {
		uint32_t cap = plan->cap_services ? plan->cap_services * 2 : 64;
		struct hs_model_str *bigger =
			realloc(plan->services, (size_t)cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		plan->services = bigger;
		plan->cap_services = cap;
	}
	memmove(plan->services + at + 1, plan->services + at,
		(plan->nr_services - at) * sizeof(*plan->services));
	plan->services[at] = service;
	plan->nr_services++;
	return 0;
}

/* Services in the order of their names, dealt out to the nodes in turn: the
 * same input gives the same layout, and no node stays empty that need not. */
int hs_replay_plan_layout(struct hs_replay_plan *plan)
{
	uint32_t i, j;
	int err = 0;

	for (i = 0; i < plan->set->nr_traces; i++) {
		const struct hs_model_trace *trace = plan->set->traces[i];

		for (j = 0; j < trace->nr_resources && !err; j++)
			err = service_add(plan, trace->resources[j]->service);
		if (err)
			return err;
	}
	return 0;
}

uint32_t hs_replay_plan_node(const struct hs_replay_plan *plan,
			     struct hs_model_str service)
{
	return service_find(plan, service) % plan->nr_nodes;
}

struct arrival {
	int64_t start_ns, end_ns;
	uint32_t trace;
};

static int arrival_compare(const void *a, const void *b)
{
	const struct arrival *x = a, *y = b;

	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return x->trace < y->trace ? -1 : x->trace > y->trace;
}

/* Idle is when no trace of the source was under way. */
int hs_replay_plan_arrivals(struct hs_replay_plan *plan)
{
	uint32_t nr = plan->set->nr_traces, i;
	struct arrival *arrivals = calloc(nr, sizeof(*arrivals));
	uint64_t now_ns = 0;
	int64_t end_ns;

	if (!arrivals)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		arrivals[i].trace = i;
		hs_model_trace_bounds(plan->set->traces[i],
				      &arrivals[i].start_ns,
				      &arrivals[i].end_ns);
	}
	qsort(arrivals, nr, sizeof(*arrivals), arrival_compare);
	end_ns = arrivals[0].start_ns;
	for (i = 0; i < nr; i++) {
		struct arrival *a = &arrivals[i];
		int64_t idle_ns = a->start_ns - end_ns;

		if (i)
			now_ns += (uint64_t)(a->start_ns - a[-1].start_ns);
		if (!plan->keep_gaps && idle_ns > (int64_t)IDLE_GAP_MAX_NS) {
			now_ns -= (uint64_t)idle_ns - IDLE_GAP_MAX_NS;
			plan->nr_gaps_cut++;
		}
		if (a->end_ns > end_ns)
			end_ns = a->end_ns;
		plan->arrivals[i] = a->trace;
		plan->traces[a->trace].arrival_ns = now_ns;
	}
	free(arrivals);
	return 0;
}

/*
 * A visit takes at least one buffer, and a span a few hundred bytes. Pins may
 * take half of a domain; a triggered trace goes as soon as it is collected, so
 * that beyond a bound more memory would not be used.
 */
uint64_t hs_replay_plan_pool_bytes(const struct hs_replay_plan *plan)
{
	const uint64_t visit_bytes = 2048, span_bytes = 1024;
	const uint64_t min_bytes = 64ull << 20, max_bytes = 1ull << 30;
	uint64_t visits[HS_REPLAY_NODES_MAX] = {0}, most = 0;
	uint32_t i;

	for (i = 0; i < plan->nr_fragments; i++)
		visits[plan->fragments[i].node]++;
	for (i = 0; i < plan->nr_nodes; i++) {
		uint64_t bytes = visits[i] * visit_bytes +
				 plan->nr_node_spans[i] * span_bytes;

		if (bytes > most)
			most = bytes;
	}
	most *= 2;
	if (most < min_bytes)
		return min_bytes;
	return most < max_bytes ? (most + 0x1fffff) & ~0x1fffffull : max_bytes;
}
