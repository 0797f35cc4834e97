/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assembly_check.c - whether an assembly adds up: every element is in one
 * trace or free, every chain leads to what it should, every sum is right
 *
 * For tests and the simulator; walks everything.
 */
#include "collector/assembly_internal.h"

struct sums {
	uint32_t nr_traces, nr_nodes, nr_buffers, nr_crumbs, nr_triggers;
	uint32_t nr_pending, nr_dirty;
};

static const char *check_node(struct hs_assembly *a, uint32_t t, uint32_t n,
			      struct sums *all)
{
	const struct hs_asm_node *node = &a->nodes[n];
	uint32_t crumbs = 0;

	if (node->trace != t || hs_asm_node_find(a, t, node->id) != n)
		return "a node that is not found";
	for (uint32_t c = node->crumbs; c; c = a->crumbs[c].next)
		crumbs++;
	for (uint32_t b = node->buffers; b; b = a->buffers[b].next_node) {
		struct hs_wire_slice key = {.process = a->buffers[b].process,
					    .handle = a->buffers[b].handle,
					    .seq = a->buffers[b].seq};

		if (hs_asm_buffer_find(a, n, &key) != b)
			return "a buffer that is not found";
		all->nr_buffers++;
	}
	if (crumbs != node->nr_crumbs)
		return "crumbs of a node";
	all->nr_crumbs += crumbs;
	all->nr_nodes++;
	return NULL;
}

static const char *check_trace(struct hs_assembly *a, uint32_t t,
			       struct sums *all)
{
	const struct hs_asm_trace *trace = &a->traces[t];
	struct sums was = *all;
	uint32_t answers = 0;
	const char *why;

	if (!trace->used || hs_asm_trace_find(a, &trace->id) != t)
		return "a trace that is not found";
	for (uint32_t n = trace->nodes; n; n = a->nodes[n].next_trace) {
		why = check_node(a, t, n, all);
		if (why)
			return why;
		answers += a->nodes[n].answered;
	}
	for (uint32_t g = trace->triggers; g; g = a->triggers[g].next)
		all->nr_triggers++;
	all->nr_traces++;
	all->nr_pending += trace->nr_pending;
	all->nr_dirty += trace->dirty;
	if (all->nr_nodes - was.nr_nodes != trace->nr_nodes ||
	    all->nr_buffers - was.nr_buffers != trace->nr_buffers ||
	    all->nr_crumbs - was.nr_crumbs != trace->nr_crumbs ||
	    all->nr_triggers - was.nr_triggers != trace->nr_triggers ||
	    answers != trace->nr_answers)
		return "what a trace has";
	if (trace->nr_nodes > a->limits.trace_nodes ||
	    trace->nr_buffers > a->limits.trace_buffers ||
	    trace->nr_crumbs > a->limits.trace_crumbs ||
	    trace->nr_triggers > a->limits.trace_triggers)
		return "a trace over a limit";
	return NULL;
}

#define FREE_OF(list, array, link)                                             \
	for (uint32_t i = a->list; i; i = a->array[i].link)                    \
	free++

static const char *check_pools(const struct hs_assembly *a,
			       const struct sums *all)
{
	const struct hs_assembly_limits *l = &a->limits;
	uint32_t free = 0, sum;

	FREE_OF(free_node, nodes, next_trace);
	FREE_OF(free_buffer, buffers, next_node);
	FREE_OF(free_crumb, crumbs, next);
	FREE_OF(free_trigger, triggers, next);
	sum = a->nr_free_nodes + a->nr_free_buffers + a->nr_free_crumbs +
	      a->nr_free_triggers;
	if (free != sum || a->nr_free_nodes + all->nr_nodes != l->nr_nodes ||
	    a->nr_free_buffers + all->nr_buffers != l->nr_buffers ||
	    a->nr_free_crumbs + all->nr_crumbs != l->nr_crumbs ||
	    a->nr_free_triggers + all->nr_triggers != l->nr_triggers)
		return "free elements";
	free = 0;
	FREE_OF(free_trace, traces, next_hash);
	if (free + all->nr_traces != l->nr_traces ||
	    all->nr_traces != a->stats.nr_traces)
		return "traces";
	return NULL;
}

bool hs_assembly_check(struct hs_assembly *a, const char **why)
{
	uint32_t older = 0, dirty = 0;
	struct sums all = {0};

	*why = NULL;
	for (uint32_t t = a->oldest; t && !*why; t = a->traces[t].lru_newer) {
		if (a->traces[t].lru_older != older)
			*why = "the order of touch";
		else
			*why = check_trace(a, t, &all);
		older = t;
	}
	for (uint32_t t = a->dirty; t && !*why; t = a->traces[t].next_dirty)
		dirty++;
	if (!*why && (older != a->newest || dirty != all.nr_dirty))
		*why = "lists of traces";
	if (!*why && all.nr_pending != a->nr_acks)
		*why = "acknowledgements that wait";
	if (!*why)
		*why = check_pools(a, &all);
	return !*why;
}
