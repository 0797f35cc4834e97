/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_coord_hears.c - what agents told a coordinator: whether it may count,
 * and what it then says of traces and requests
 */
#include <string.h>

#include "base/check.h"
#include "base/node_at.h"
#include "tests/sim/bout_coord.h"

static bool knows(const struct hs_wire_answer *a)
{
	return a->state == HS_WIRE_STATE_OPEN ||
	       a->state == HS_WIRE_STATE_CLOSED;
}

static bool name_ok(const char *name)
{
	size_t n = 0;

	for (; n < HS_WIRE_NAME_BYTES && name[n]; n++)
		if (name[n] <= ' ' || name[n] > '~')
			return false;
	return n && n < HS_WIRE_NAME_BYTES;
}

bool bco_intact(uint64_t from, uint16_t type, const void *payload,
		uint32_t bytes)
{
	const struct hs_wire_group *m = payload;
	const uint8_t *p = (const uint8_t *)(m + 1);
	const uint8_t *end = (const uint8_t *)payload + bytes;

	if (bytes < sizeof(*m) || m->nr < 1 || m->nr > HS_WIRE_TRACES_MAX ||
	    !m->trigger.origin || !name_ok(m->trigger.name) ||
	    !(m->trigger.primary.hi | m->trigger.primary.lo))
		return false;
	if (type != HS_WIRE_CRUMBS && m->trigger.origin >> 32 != from >> 32)
		return false;
	for (uint32_t i = 0; i < m->nr; i++) {
		const struct hs_wire_answer *a = (const void *)p;

		if ((size_t)(end - p) < sizeof(*a) ||
		    a->nr_crumbs > HS_WIRE_CRUMBS_MAX ||
		    (size_t)(end - p) - sizeof(*a) < a->nr_crumbs * 16ull)
			return false;
		if (!a->node || a->node >> 32 != from >> 32 || !a->rev ||
		    a->state < HS_WIRE_STATE_UNKNOWN ||
		    a->state > HS_WIRE_STATE_CLOSED ||
		    !(a->trace.hi | a->trace.lo))
			return false;
		p += sizeof(*a) + a->nr_crumbs * 16ull;
	}
	return p == end;
}

bool bco_ours(const struct bco *g, const struct hs_wire_group *m)
{
	const uint8_t *p = (const uint8_t *)(m + 1);

	for (uint32_t i = 0; i < m->nr; i++) {
		const struct hs_wire_answer *a = (const void *)p;
		const struct hs_wire_crumb *c = (const void *)(a + 1);

		if (bco_trace_of(g, &a->trace) == BCO_TRACES ||
		    bco_node_of(a->node) == BCO_NODES ||
		    a->nr_crumbs > BCO_CRUMBS)
			return false;
		for (uint32_t k = 0; k < a->nr_crumbs; k++)
			if (c[k].node && bco_node_of(c[k].node) == BCO_NODES &&
			    !(g->by_address && hs_node_is_at(c[k].node)))
				return false;
		p = (const uint8_t *)(c + a->nr_crumbs);
	}
	return true;
}

static void hears(struct bco *g, const struct hs_wire_answer *a)
{
	struct bco_trace *x = &g->traces[bco_trace_of(g, &a->trace)];
	struct bco_node *n = &x->nodes[bco_node_of(a->node)];
	struct hs_wire_crumb crumbs[BCO_CRUMBS];
	bool cut = false;
	uint32_t nr = bco_address_ids(g, a, crumbs, &cut);

	if (n->answered && (a->rev <= n->said.rev ||
			    (a->state == HS_WIRE_STATE_UNKNOWN &&
			     !(a->flags & HS_WIRE_F_LOST) && knows(&n->said))))
		return;
	n->answered = true;
	n->cut |= cut;
	n->said = *a;
	n->said.nr_crumbs = nr;
	memcpy(n->crumbs, crumbs, nr * sizeof(n->crumbs[0]));
	for (uint32_t i = 0; i < nr; i++)
		if (n->crumbs[i].node)
			x->named |= 1u << bco_node_of(n->crumbs[i].node);
}

static struct bco_request *request_of(struct bco *g, uint64_t origin,
				      uint64_t key)
{
	struct bco_request *free_one = NULL;

	for (uint32_t i = 0; i < BCO_REQUESTS; i++) {
		struct bco_request *q = &g->requests[i];

		if (q->live && q->origin == origin && q->key == key)
			return q;
		if (!q->live)
			free_one = q;
	}
	return free_one;
}

static bool same(const struct bco_node *a, const struct bco_node *b)
{
	if (a->answered != b->answered || a->said.state != b->said.state ||
	    a->said.flags != b->said.flags ||
	    a->said.nr_buffers != b->said.nr_buffers ||
	    a->said.nr_bytes != b->said.nr_bytes ||
	    a->said.nr_crumbs != b->said.nr_crumbs)
		return false;
	for (uint32_t i = 0; i < a->said.nr_crumbs; i++)
		if (a->crumbs[i].node != b->crumbs[i].node ||
		    a->crumbs[i].kind != b->crumbs[i].kind)
			return false;
	return true;
}

void bco_take_news(struct bco *g)
{
	const struct hs_wire_group *m = g->news;
	const uint8_t *p = (const uint8_t *)(m + 1);
	struct bco_request *q =
		request_of(g, m->trigger.origin, m->trigger.key);
	bool asks = g->news_type != HS_WIRE_CRUMBS && q && !q->live;
	bool elsewhere = g->news_type != HS_WIRE_CRUMBS &&
			 m->flags & HS_WIRE_GROUP_ELSEWHERE;
	uint32_t seen = 0;

	g->news = NULL;
	if (asks)
		*q = (struct bco_request){.live = true,
					  .origin = m->trigger.origin,
					  .key = m->trigger.key};
	for (uint32_t i = 0; i < m->nr; i++) {
		const struct hs_wire_answer *a = (const void *)p;
		uint32_t t = bco_trace_of(g, &a->trace);
		struct bco_trace *x;
		struct bco_node was;

		hs_check(t < BCO_TRACES);
		x = &g->traces[t];
		was = x->nodes[bco_node_of(a->node)];
		p += sizeof(*a) + a->nr_crumbs * 16ull;
		if (!x->live)
			continue;
		x->twice |= seen >> t & 1;
		seen |= 1u << t;
		hears(g, a);
		/* No room for it: as if it had not been said. */
		if (!hs_coord_visit_find(
			    g->core, hs_coord_trace_find(g->core, &a->trace),
			    a->node))
			x->nodes[bco_node_of(a->node)] = was;
		else if (elsewhere)
			x->elsewhere |= 1u << bco_node_of(a->node);
		g->answers += !same(&was, &x->nodes[bco_node_of(a->node)]);
		if (!asks)
			continue;
		q->traces[q->nr] = t;
		q->lives[q->nr] = x->life;
		/* Nothing new: what was told already contains it. */
		q->after[q->nr++] = !same(&was, &x->nodes[bco_node_of(a->node)])
					    ? x->version
				    : x->version ? x->version - 1
						 : 0;
	}
}
