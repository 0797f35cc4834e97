/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_assembly_view.c - what an assembly shows of itself, against its model;
 * and the limits that it may be made with
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/assembly_internal.h"
#include "tests/sim/bout_assembly.h"

static void differs(struct bout_rig *g, const char *what, uint64_t is,
		    uint64_t should)
{
	if (is != should)
		sim_fail(g->s, BOUT "%s: %llu instead of %llu", what,
			 (unsigned long long)is, (unsigned long long)should);
}

static const struct mdl_node *model_node(const struct mdl_trace *t, uint64_t id)
{
	for (uint32_t i = 0; i < t->nr_nodes; i++)
		if (t->nodes[i].id == id)
			return &t->nodes[i];
	return NULL;
}

static void one_node(struct bout_rig *g, const struct mdl_trace *t,
		     const struct hs_assembly_node *is)
{
	const struct mdl_node *n = model_node(t, is->node);
	uint64_t bytes = 0;
	uint32_t whole = 0;

	if (!n) {
		sim_fail(g->s, BOUT "a node that nobody named");
		return;
	}
	for (uint32_t i = 0; i < n->nr_arrived; i++) {
		whole += mdl_whole(&n->arrived[i]);
		bytes += mdl_held(&n->arrived[i]);
	}
	differs(g, "whether it answered", is->answered, n->answered);
	differs(g, "its revision", is->rev, n->rev);
	differs(g, "its state", is->state, n->state);
	differs(g, "its flags", is->flags, n->flags | n->slice_flags);
	differs(g, "buffers announced", is->nr_buffers, n->nr_buffers);
	differs(g, "bytes announced", is->nr_bytes, n->nr_bytes);
	differs(g, "its crumbs", is->nr_crumbs, n->nr_crumbs);
	differs(g, "whole buffers", is->arrived_buffers, whole);
	differs(g, "bytes that arrived", is->arrived_bytes, bytes);
}

static void nodes(struct bout_rig *g, const struct mdl_trace *t)
{
	struct hs_assembly_node out[MDL_NODES + 1];
	uint32_t few = bout_below(&g->r, MDL_NODES);
	uint32_t nr = hs_assembly_nodes(g->a, &t->id, out, MDL_NODES + 1);

	differs(g, "nodes", nr, t->nr_nodes);
	for (uint32_t i = 0; i < nr; i++) {
		one_node(g, t, &out[i]);
		for (uint32_t k = 0; k < i; k++)
			if (out[k].node == out[i].node)
				sim_fail(g->s, BOUT "a node is there twice");
	}
	memset(out, 0, sizeof(out));
	nr = hs_assembly_nodes(g->a, &t->id, out, few);
	differs(g, "a few nodes", nr, few < t->nr_nodes ? few : t->nr_nodes);
	if (out[nr].node)
		sim_fail(g->s, BOUT "more nodes than were asked for");
}

static void causes(struct bout_rig *g, const struct mdl_trace *t)
{
	struct hs_assembly_cause want[MDL_CAUSES], is[MDL_CAUSES];
	uint32_t nr_want = mdl_causes(&g->m, t, want), found = 0, twice = 0;
	uint32_t nr = hs_assembly_causes(g->a, &t->id, is, MDL_CAUSES), all;
	uint32_t few = bout_below(&g->r, 4);

	for (uint32_t i = 0; i < nr; i++) {
		bool again = false;

		/* A node may be gone, or have lost, in two ways. */
		for (uint32_t k = 0; k < i; k++)
			again |= is[i].node == is[k].node &&
				 is[i].why == is[k].why &&
				 (is[i].why == HS_ASSEMBLY_WHY_GONE ||
				  is[i].why == HS_ASSEMBLY_WHY_LOST);
		twice += again;
		for (uint32_t k = 0; !again && k < nr_want; k++)
			found += is[i].node == want[k].node &&
				 is[i].why == want[k].why;
	}
	differs(g, "causes", nr - twice, nr_want);
	differs(g, "causes that are right", found, nr_want);
	all = nr;
	is[few].node = 77;
	nr = hs_assembly_causes(g->a, &t->id, is, few);
	differs(g, "a few causes", nr, few < all ? few : all);
	differs(g, "what lies behind them", is[few].node, 77);
}

static void triggers(struct bout_rig *g, const struct mdl_trace *t)
{
	struct hs_wire_trigger is[HS_WIRE_TRIGGERS_MAX + 1];
	uint32_t few = bout_below(&g->r, 4);
	uint32_t nr =
		hs_assembly_triggers(g->a, &t->id, is, HS_WIRE_TRIGGERS_MAX);

	differs(g, "triggers", nr, t->nr_triggers);
	if (memcmp(is, t->triggers, nr * sizeof(is[0])))
		sim_fail(g->s, BOUT "other triggers than came");
	nr = hs_assembly_triggers(g->a, &t->id, is, few);
	differs(g, "a few triggers", nr,
		few < t->nr_triggers ? few : t->nr_triggers);
}

static uint64_t bytes_of(const struct mdl_trace *t, uint32_t *nr)
{
	uint64_t bytes = 0;

	*nr = 0;
	for (uint32_t i = 0; i < t->nr_nodes; i++) {
		*nr += t->nodes[i].nr_arrived;
		for (uint32_t k = 0; k < t->nodes[i].nr_arrived; k++)
			bytes += mdl_held(&t->nodes[i].arrived[k]);
	}
	return bytes;
}

static void version(struct bout_rig *g, uint32_t t, uint64_t is)
{
	uint64_t was = g->versions[t];

	if (was && g->raised[t] && is <= was)
		sim_fail(g->s, BOUT "a change does not raise the version");
	if (was && !g->raised[t] && is != was)
		sim_fail(g->s, BOUT "the version changes, and nothing else");
	g->versions[t] = is;
	g->raised[t] = false;
}

/* Return: false: it could not be looked at now. */
bool bout_assembly_compare(struct bout_rig *g, uint32_t t)
{
	const struct mdl_trace *m = &g->traces[t];
	struct hs_assembly_view v;
	uint32_t nr_buffers;
	uint64_t bytes;
	int rc;

	memset(&v, 0, sizeof(v));
	rc = hs_assembly_view(g->a, &m->id, &v);

	if ((rc == -EIO && g->load_failed) || (rc == -EBUSY && !g->ample))
		return false;
	if (!m->known) {
		differs(g, "the view of an unknown trace", (uint64_t)-rc,
			ENOENT);
		return true;
	}
	differs(g, "the view of a known trace", (uint64_t)rc, 0);
	if (rc)
		return false;
	bytes = bytes_of(m, &nr_buffers);
	differs(g, "bytes", v.nr_bytes, bytes);
	differs(g, "buffers", v.nr_buffers, nr_buffers);
	differs(g, "the view's nodes", v.nr_nodes, m->nr_nodes);
	differs(g, "the view's triggers", v.nr_triggers, m->nr_triggers);
	differs(g, "settled", v.settled, m->settled);
	differs(g, "sought", v.sought, m->sought);
	nodes(g, m);
	triggers(g, m);
	causes(g, m);
	differs(g, "the mark", v.mark, mdl_mark(&g->m, m));
	version(g, t, v.version);
	return true;
}

#define SAME(field) differs(g, #field, st.field, g->want.field)

void bout_assembly_stats(struct bout_rig *g)
{
	struct hs_assembly_stats st;
	uint32_t there = 0;
	const char *why;

	hs_assembly_stats(g->a, &st);
	SAME(slices);
	SAME(slices_duplicate);
	SAME(slices_malformed);
	SAME(slices_over_limit);
	SAME(manifests);
	SAME(manifests_duplicate);
	SAME(manifests_malformed);
	SAME(store_errors);
	SAME(busy);
	SAME(traces_loaded);
	differs(g, "what waits", st.nr_pending, g->nr_dues);
	for (uint32_t t = 0; t < NR_TRACES; t++)
		there += hs_asm_trace_find(g->a, &g->traces[t].id) != 0;
	differs(g, "traces in memory", st.nr_traces, there);
	if (there > g->m.limits.nr_traces)
		sim_fail(g->s, BOUT "more traces than may be");
	if (!g->reloaded) {
		differs(g, "answers over a limit", st.answers_over_limit,
			g->m.answers_over);
		differs(g, "triggers over a limit", st.triggers_over_limit,
			g->m.triggers_over);
		differs(g, "ranges over a limit", st.ranges_over_limit,
			g->m.ranges_over);
	}
	if (!hs_assembly_check(g->a, &why))
		sim_fail(g->s, BOUT "it does not add up: %s", why);
}

/* Bits of fields that make limits absurd, and those that just do not. */
void bout_assembly_limits(struct sim *s)
{
	static const struct hs_assembly_limits good = {
		.nr_traces = 2,
		.nr_nodes = 8,
		.nr_buffers = 5,
		.nr_crumbs = 6,
		.nr_triggers = 128,
		.nr_pending = 1,
		.trace_nodes = 4,
		.trace_buffers = 4,
		.trace_crumbs = 3,
		.trace_triggers = 64,
	};
	const uint32_t most = 1u << 28;
	struct hs_assembly_limits l, d = {0};

#define ABSURD(field, value)                                                   \
	l = good;                                                              \
	l.field = (value);                                                     \
	if (hs_assembly_size(&l) || hs_assembly_create(NULL, &l, NULL, NULL))  \
	sim_fail(s, BOUT "absurd limits are taken: " #field)
#define FINE(field, value)                                                     \
	l = good;                                                              \
	l.field = (value);                                                     \
	if (!hs_assembly_size(&l))                                             \
	sim_fail(s, BOUT "these limits are refused: " #field)

	FINE(nr_traces, 2);
	ABSURD(nr_traces, 1);
	ABSURD(nr_traces, most);
	FINE(nr_traces, most - 1);
	ABSURD(nr_nodes, 7);
	ABSURD(nr_nodes, most);
	FINE(nr_nodes, most - 1);
	ABSURD(nr_buffers, 4);
	ABSURD(nr_buffers, most);
	FINE(nr_buffers, most - 1);
	ABSURD(nr_crumbs, 5);
	ABSURD(nr_crumbs, most);
	FINE(nr_crumbs, most - 1);
	ABSURD(nr_triggers, 127);
	ABSURD(nr_triggers, most);
	FINE(nr_triggers, most - 1);
	ABSURD(nr_pending, most);
	FINE(nr_pending, most - 1);
	ABSURD(trace_nodes, 5);
	ABSURD(trace_buffers, 5);
	ABSURD(trace_crumbs, 4);
	ABSURD(trace_triggers, 65);
	hs_assembly_limits_fill(&d);
	if (d.nr_traces != 16384 || d.nr_nodes != 65536 ||
	    d.nr_buffers != 262144 || d.nr_crumbs != 262144 ||
	    d.nr_triggers != 32768 || d.nr_pending != 65536 ||
	    d.trace_nodes != 8192 || d.trace_buffers != 65536 ||
	    d.trace_crumbs != 65536 || d.trace_triggers != 64)
		sim_fail(s, BOUT "other defaults than its header says");
	l = good;
	l.nr_nodes = 2 * (HS_WIRE_ANSWERS_MAX + 1);
	l.trace_nodes = HS_WIRE_ANSWERS_MAX + 1;
	if (hs_assembly_size(&l))
		sim_fail(s, BOUT "absurd limits are taken: trace_nodes");
	l = good;
	hs_assembly_limits_fill(&l);
	if (memcmp(&l, &good, sizeof(l)))
		sim_fail(s, BOUT "defaults take the place of what was said");
}
